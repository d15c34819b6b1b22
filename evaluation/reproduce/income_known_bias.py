"""The section of the known bias: the whole chain has to find it where it was put, and only there."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from bioattack.evaluation import figure_style as style
from bioattack.evaluation import income_words as words
from bioattack.evaluation.config import EvaluateConfig
from bioattack.evaluation.evaluate import evaluate
from bioattack.evaluation.findings import DASH
from bioattack.evaluation.income import IncomeAnswer, answer_income
from bioattack.evaluation.income_config import IncomeConfig
from bioattack.evaluation.income_figures import accuracy_figure
from bioattack.evaluation.reproduce.experiment import Experiment
from bioattack.evaluation.reproduce.income_countries import draw_biased
from bioattack.evaluation.reproduce.income_networks import own_folder, train_standard
from bioattack.evaluation.reproduce.income_sizes import Sizes, known_bias_sizes
from bioattack.evaluation.reproduce.page import Figure, Section, Table
from bioattack.evaluation.reproduce.workplace import FIGURES, Workplace
from bioattack.fairness.income_regression import COVARIANCE_WORDS
from bioattack.fairness.simulation import RejectionRate, simulate_rejections
from bioattack.tfrecords_builder.synthetic_countries import GDP_PER_CAPITA_YEAR

_ATTACK, _NORM = "pgd", "linf"
_CLEAN, _ATTACKED = "as they are", "attacked"
_TRUTHS = {"counts": "the binomial rate alone", "equal": "alike in all countries", "printed": "1/√n"}


def known_bias_section(workplace: Workplace, experiment: Experiment) -> Section:
    """Draws pictures with each bias, trains and attacks a network on them, and regresses; then simulates.

    Args:
        workplace: Where all of it goes.
        experiment: The experiment.

    Raises:
        InputError: If no line can be fitted.
    """
    sizes = known_bias_sizes(workplace.config)
    answers = _answers(workplace, sizes)
    rates = _rates(answers[_CLEAN], sizes, seed=workplace.config.seed)
    rows = _chain_rows(answers, sizes)
    figures = []
    for bias, model in zip(sizes.known_biases, _models(answers[_CLEAN]), strict=True):
        name = f"{experiment.name}-{bias:g}"
        with style.house_style():
            style.save_png(accuracy_figure(answers[_CLEAN], model), workplace.figure(name))
        figures.append(Figure(f"{FIGURES}/{name}.png", f"Pictures drawn with bias {bias:g}."))
    return Section(
        name=experiment.name,
        title=experiment.title,
        paragraphs=(*experiment.text, *_facts(answers[_CLEAN], sizes)),
        tables=[_chain_table(rows), _rates_table(rates)],
        figures=figures,
        warnings=[*chain_warnings(rows), *_rate_warnings(rates)],
        values={"chain": rows, "simulation": [_rate_values(rate) for rate in rates]},
    )


def _answers(workplace: Workplace, sizes: Sizes) -> dict[str, IncomeAnswer]:
    """One answer for pictures as they are and one under attack, a model for each bias."""
    folders = []
    for bias in sizes.known_biases:
        records = draw_biased(workplace, sizes, bias=bias)
        run = train_standard(workplace, f"bias-{bias:g}", records, sizes=sizes)
        folder = own_folder(workplace) / f"evaluation-bias-{bias:g}"
        workplace.say(f"attacking the network of bias {bias:g}")
        evaluate(
            EvaluateConfig(
                model=(run,),
                data=records.directory,
                output=folder,
                limit=sizes.num_attacked,
                norms=(_NORM,),
                epsilons=(sizes.attack_epsilon,),
                steps=sizes.attack_steps,
                quiet=workplace.config.quiet,
            )
        )
        folders.append(folder)
    clean = IncomeConfig(
        tuple(folders),
        own_folder(workplace),
        year=GDP_PER_CAPITA_YEAR,  # by which the bias was drawn
        simulations=0,
        seed=workplace.config.seed,
    )
    attacked = dataclasses.replace(clean, attack=_ATTACK, norm=_NORM, epsilon=sizes.attack_epsilon)
    return {_CLEAN: answer_income(clean), _ATTACKED: answer_income(attacked)}


def _models(answer: IncomeAnswer) -> tuple[str, ...]:
    return answer.sample.models


def _chain_rows(answers: Mapping[str, IncomeAnswer], sizes: Sizes) -> list[dict[str, Any]]:
    return [
        {"bias": bias, "pictures": pictures} | row
        for pictures, answer in answers.items()
        for bias, row in zip(sizes.known_biases, answer.summary["regressions"], strict=True)
    ]


def _rates(answer: IncomeAnswer, sizes: Sizes, *, seed: int) -> list[RejectionRate]:
    """How often the test errs without a slope, and how often it finds those that the biases made."""
    rows = answer.summary["regressions"]
    countries = answer.sample.countries_of(_models(answer)[0])
    how: dict[str, Any] = {"num_tables": sizes.num_tables, "seed": seed}
    rates = [
        simulate_rejections(countries, truth=truth, covariance=covariance, **how)
        for truth in ("counts", "equal")
        for covariance in ("printed", "binomial")
    ]
    for bias, row in zip(sizes.known_biases, rows, strict=True):
        if bias:
            own = answer.sample.countries_of(row["model"])
            rates += [
                simulate_rejections(own, truth="printed", scale=row["residual_scale"], slope=slope, **how)
                for slope in (row["slope"], row["low"], row["high"])
                if slope > 0
            ]
    return rates


def _rate_values(rate: RejectionRate) -> dict[str, Any]:
    return dataclasses.asdict(rate) | {"keeps_level": rate.keeps_level if rate.slope == 0 else None}


def _facts(answer: IncomeAnswer, sizes: Sizes) -> list[str]:
    data, fitted = answer.summary["data"], words.method_words(answer.summary["settings"])
    return [
        f"{sizes.num_train:,} training pictures of {sizes.image_size} pixels for each bias; "
        f"{data['num_images']:,} test images of {data['num_countries']} countries. Attacked: PGD, L∞, "
        f"ε = {sizes.attack_epsilon:g}, {sizes.attack_steps} steps. Fitted by {fitted}.",
        "Power is simulated at the slope that the network of the stated bias shows, and at the ends of its "
        "interval: the slope itself is only known as well as that.",
    ]


def _chain_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    lines = [
        [
            *(f"{row['bias']:g}", row["pictures"], f"{100 * row['accuracy']:.1f}"),
            f"{row['slope']:.4f} [{row['low']:.4f}, {row['high']:.4f}]",
            *(words.f_words(row), "yes" if _is_found(row) else "no"),
        ]
        for row in rows
    ]
    return Table(
        "The chain: pictures drawn with a bias, a network trained on them, attacked, and its accuracies "
        "regressed on ln GDP per capita. Found: p below 0.05.",
        ["bias", "test pictures", "accuracy, %", "slope", "test", "found"],
        lines,
    )


def _is_found(row: Mapping[str, Any]) -> bool:
    return bool(row["p_value"] < words.SIGNIFICANCE and row["slope"] > 0)


def _rates_table(rates: Sequence[RejectionRate]) -> Table:
    lines = [
        [
            f"{rate.slope:.4f}",
            _TRUTHS[rate.truth],
            COVARIANCE_WORDS[rate.covariance],
            f"{rate.num_rejected} of {rate.num_tables}: {100 * rate.rate:.1f} %",
            *_size_words(rate),
        ]
        for rate in rates
    ]
    return Table(
        "How often the F test rejects in simulated tables of the same countries and numbers of images: "
        "without a slope its size, with one its power.",
        ["true slope", "accuracies scatter", "covariance", "rejected", "band of 5 %", "within"],
        lines,
    )


def _size_words(rate: RejectionRate) -> tuple[str, str]:
    if rate.slope:
        return DASH, DASH
    return f"{100 * rate.low:.1f} to {100 * rate.high:.1f} %", "yes" if rate.keeps_level else "no"


def chain_warnings(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Says where a slope was found that nobody put in, and where one was missed.

    Args:
        rows: Of ``regressions``, with ``bias`` and ``pictures``.
    """
    warnings = []
    for row in rows:
        if row["bias"] == 0 and row["p_value"] < words.SIGNIFICANCE:
            warnings.append(
                f"A slope was found on pictures {row['pictures']} although none was put in "
                f"({words.p_words(row['p_value'])}); that happens on one such sample in twenty."
            )
        elif row["bias"] > 0 and not _is_found(row):
            warnings.append(
                f"The bias of {row['bias']:g} was not found on pictures {row['pictures']} "
                f"({words.p_words(row['p_value'])})."
            )
    return warnings


def _rate_warnings(rates: Sequence[RejectionRate]) -> list[str]:
    return [
        f"Where accuracies scatter by {_TRUTHS[rate.truth]}, the F test with covariance "
        f"{COVARIANCE_WORDS[rate.covariance]} errs on {100 * rate.rate:.1f} % of tables, outside the band "
        "of 5 %."
        for rate in rates
        if rate.slope == 0 and rate.truth in ("counts", "equal") and not rate.keeps_level
    ]
