"""Table III: how much answers hang on single training samples, beside two controls that the paper lacks."""

import dataclasses
from pathlib import Path
from typing import Any

from bioattack.errors import InputError
from bioattack.evaluation.findings import DASH
from bioattack.evaluation.income_words import p_words
from bioattack.evaluation.leave_one_out import gather_left_out, train_left_out
from bioattack.evaluation.reproduce.experiment import Experiment
from bioattack.evaluation.reproduce.fairness_networks import PAPER_NETWORKS, STANDARD, Network, train_config
from bioattack.evaluation.reproduce.fairness_published import LEAVE_ONE_OUT
from bioattack.evaluation.reproduce.fairness_sizes import Sizes, sizes_of, subject_of
from bioattack.evaluation.reproduce.page import Section, Table
from bioattack.evaluation.reproduce.workplace import RUNS, Workplace
from bioattack.fairness.leave_one_out import LeaveOneOut, compare_leave_one_out
from bioattack.fairness.score_intervals import Drawing
from bioattack.training.config import TrainConfig
from bioattack.training.many import divide_processor
from bioattack.training.many_config import FULL, ManyConfig

_WAYS = {
    "published": "as published: seed and sample differ",
    "noise": "control: the seed alone differs",
    "paired": "control: the sample alone differs",
}


def left_out_section(workplace: Workplace, experiment: Experiment) -> Section:
    """Trains the models of both rows of Table III and scores them."""
    subject = subject_of(workplace.pictures)
    sizes = sizes_of(workplace.config, subject)
    # Of rows the paper has no such table; they are kept valid.
    perturb = subject.perturbs[0]
    gathered = {
        network.label: _train(workplace, network, sizes, perturb=perturb) for network in PAPER_NETWORKS
    }
    drawing = Drawing(num_draws=sizes.num_draws, seed=workplace.config.seed, interval="percentile")
    values = {label: _scores(families, drawing) for label, families in gathered.items()}
    text = (
        f"{subject.model}, {_num_train(workplace, sizes):,} training samples, "
        f"{sizes.leave_one_out_epochs} epochs in batches of {sizes.batch_size}, "
        f"{sizes.num_left_out} samples left out, each in three ways; "
        f"{workplace.pictures.num_examples('test'):,} test samples."
    )
    return Section(
        name=experiment.name,
        title=experiment.title,
        paragraphs=(*experiment.text, text),
        tables=[_scores_table(values), _differences_table(gathered, drawing)],
        warnings=_warnings(sizes),
        values=values,
    )


def _train(
    workplace: Workplace, network: Network, sizes: Sizes, *, perturb: str | None
) -> dict[str, LeaveOneOut]:
    """Trains one row of the table, or goes on with it."""
    config = many_config(workplace, network, sizes, perturb=perturb)
    if network.label != STANDARD and not Path(config.training_options["standard_model"]).is_dir():
        raise InputError(f"{config.output}: the standard row has to be trained before the robust one")
    workplace.say(f"leave-one-out, {network.label}: {config.leave_one_out} samples, three ways")
    # TensorFlow runs here already; this is for the processes that train.
    divide_processor(config.num_jobs)
    result = train_left_out(config, tell=workplace.say)
    if result.failed:
        raise InputError(f"{result.failed[0].name} could not be trained: {result.failed[0].sentence}")
    return gather_left_out(config.output)


def many_config(workplace: Workplace, network: Network, sizes: Sizes, *, perturb: str | None) -> ManyConfig:
    """Says how one row of the table is trained.

    The robust row's adversarial examples are made against the full standard model, and are not made anew.

    Args:
        workplace: Where the models go.
        network: Standard or robust.
        sizes: How many, how long.
        perturb: What of a row is moved.
    """
    seed = workplace.config.seed
    base = train_config(workplace, network, seed, perturb=perturb)
    options: dict[str, Any] = dict(base.training_options)
    if network.label != STANDARD:
        standard = many_config(workplace, PAPER_NETWORKS[0], sizes, perturb=perturb)
        options["standard_model"] = str(standard.output / FULL)
    fields = {field.name: getattr(base, field.name) for field in dataclasses.fields(TrainConfig)}
    return ManyConfig(
        **fields
        | {
            "output": workplace.output / RUNS / f"fairness-left-out-{network.label}-seed-{seed}",
            "epochs": sizes.leave_one_out_epochs,
            "limit": sizes.leave_one_out_limit,
            "training_options": options,
        },
        leave_one_out=sizes.num_left_out,
    )


def _num_train(workplace: Workplace, sizes: Sizes) -> int:
    number = workplace.pictures.num_examples("train")
    return min(number, sizes.leave_one_out_limit or number)


def _scores(families: dict[str, LeaveOneOut], drawing: Drawing) -> dict[str, list[dict[str, Any]]]:
    return {
        way: [dataclasses.asdict(score) for score in answers.scores(drawing)]
        for way, answers in families.items()
    }


def _scores_table(values: dict[str, dict[str, list[dict[str, Any]]]]) -> Table:
    lines = []
    for network in PAPER_NETWORKS:
        for way, words in _WAYS.items():
            cells = [_score_words(score) for score in values[network.label].get(way, [])]
            lines.append([network.title, words, *(cells or [DASH] * 3)])
        lines.append([network.title, "published", *(f"{value:g}" for value in LEAVE_ONE_OUT[network.label])])
    return Table(
        "Leave-one-out unfairness. LUF_t: models that answer a test sample otherwise (published: of 100). "
        "LUF_l: test samples that a model answers otherwise (published: of 10,000). The 95 % intervals are "
        "for other test samples of LUF and LUF_t, and for other left-out samples of LUF_l; another full "
        "model, from another seed, would move all of them by more.",
        ["network", "", "LUF", "LUF_t", "LUF_l"],
        lines,
    )


def _score_words(score: dict[str, Any]) -> str:
    of = {"LUF": None, "LUF_t": score["num_left_out"], "LUF_l": score["num_images"]}[score["name"]]
    share = "" if of is None else f", {100 * score['value'] / of:.2f} %"
    return f"{score['value']:.4g} [{score['low']:.4g}, {score['high']:.4g}]{share}"


def _differences_table(gathered: dict[str, dict[str, LeaveOneOut]], drawing: Drawing) -> Table:
    """Compares robust with standard in every way, and the published way with its noise."""
    standard, robust = (gathered[network.label] for network in PAPER_NETWORKS)
    asked = [
        (f"robust less standard, {words}", standard[way], robust[way])
        for way, words in _WAYS.items()
        if way in standard and way in robust
    ]
    asked += [
        (f"{label}: as published less the seed alone", families["noise"], families["published"])
        for label, families in gathered.items()
        if "noise" in families and "published" in families
    ]
    lines = []
    for words, first, second in asked:
        found = compare_leave_one_out(first, second, drawing)
        lines.append(
            [
                words,
                *(
                    f"{one.difference:+.4g} [{one.low:+.4g}, {one.high:+.4g}] ({p_words(one.p_value)})"
                    for one in found
                ),
            ]
        )
    return Table(
        "Differences on the same test samples with 95 % intervals and the p values of permutation tests: "
        "between these models, of LUF and LUF_t over the choice of test samples, of LUF_l over that of the "
        "left-out ones. Whether trainings from other seeds would differ alike, they do not say.",
        ["difference", "LUF", "LUF_t", "LUF_l"],
        lines,
    )


def _warnings(sizes: Sizes) -> list[str]:
    if sizes.num_left_out >= 100 and sizes.leave_one_out_limit is None:
        return []
    return [
        "Fewer samples left out, or fewer training samples, than published: LUF is a maximum over the "
        "models and grows with their number. Compare the ways with each other, not with what is published."
    ]
