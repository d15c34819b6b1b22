"""What the experiments on fairness share: the networks trained, attacked, and scored side by side."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bioattack.evaluation import figure_style as style
from bioattack.evaluation.output_folder import is_complete
from bioattack.evaluation.reproduce.fairness_measure import (
    WHITE_BOX,
    Attacked,
    attack_folder,
    least_epsilon_folder,
    predictions,
    transfer,
    white_box_folder,
)
from bioattack.evaluation.reproduce.fairness_networks import Network
from bioattack.evaluation.reproduce.fairness_sizes import Sizes, Subject
from bioattack.evaluation.reproduce.page import Figure, Table
from bioattack.evaluation.reproduce.workplace import Workplace
from bioattack.evaluation.scores import answer_scores
from bioattack.evaluation.scores_config import ClassesConfig, GroupsConfig, ScoresConfig
from bioattack.evaluation.scores_figures import bar_figure, figure_list
from bioattack.evaluation.scores_words import (
    DIFFERENCE_HEADS,
    SCORE_HEADS,
    difference_cells,
    score_cells,
)
from bioattack.fairness.odd_unfairness import EOU
from bioattack.training.run_folder import read_finished_card


@dataclasses.dataclass(frozen=True)
class Study:
    """The networks of one seed and one way to move rows, which are trained before they are measured.

    Args:
        workplace: Where everything lies.
        subject: The kind of data.
        sizes: How much is trained and attacked.
        seed: Of the networks.
        perturb: What of a row is moved, in training and in testing; None for pictures.
        networks: The standard one first.
        runs: Their folders by label.
    """

    workplace: Workplace
    subject: Subject
    sizes: Sizes
    seed: int
    perturb: str | None
    networks: tuple[Network, ...]
    runs: dict[str, Path]

    @property
    def words(self) -> str:
        """What distinguishes it from the others."""
        moved = {None: "", "valid": ", rows kept valid", "all": ", all attributes moved"}
        return f"seed {self.seed}{moved[self.perturb]}"

    def is_measured(self, network: Network, asked: Sequence[str]) -> bool:
        """Tells whether a network is trained and all attacks on it made.

        Args:
            network: One of the study's.
            asked: Of ``WHITE_BOX`` and ``LEAST`` those that count.
        """
        folders = [attack_folder(self.workplace, self.attacked(network), what) for what in asked]
        is_trained = read_finished_card(self.runs[network.label]) is not None
        return is_trained and all(is_complete(folder, has_report=False) for folder in folders)

    def measure(self, what: str, network: Network) -> Path:
        """Attacks a network, unless that is done; gives the folder.

        Args:
            what: ``WHITE_BOX`` or ``LEAST``.
            network: Trained.
        """
        measure = white_box_folder if what == WHITE_BOX else least_epsilon_folder
        return measure(self.workplace, self.attacked(network))

    def attacked(self, network: Network) -> Attacked:
        """Names a network and what is moved of a row."""
        run = self.runs[network.label]
        key = run.name.removeprefix("fairness-")
        if network.defence is not None:
            key = f"{network.label}-{key}"
        return Attacked(key, run, self.perturb, network.defence)

    def scores(self, what: str, *, count: int | None = None) -> dict[str, Any]:
        """Scores the networks by class, side by side.

        Args:
            what: ``WHITE_BOX`` or ``LEAST``.
            count: Of the first so many networks only.

        Returns:
            As ``answer_scores`` does, the models under the networks' titles.
        """
        chosen = self.networks[:count]
        key = f"fairness scores: {what} {self.words} {[network.label for network in chosen]}"
        scores: dict[str, Any] = self.workplace.keep(key, lambda: self._scores(what, chosen))
        return scores

    def _scores(self, what: str, chosen: Sequence[Network]) -> dict[str, Any]:
        config = ClassesConfig(
            results=tuple(self.measure(what, network) for network in chosen),
            output=self.workplace.output,
            draws=self.sizes.num_draws,
            seed=self.workplace.config.seed,
        )
        return self._titled(config, chosen)

    def transferred(self, *, count: int | None = None) -> dict[str, tuple[int, int]]:
        """Counts, by label, what networks get right of adversarial examples of the standard one, of how many.

        Args:
            count: The first so many networks only.
        """
        attacked = {network.label: self.attacked(network) for network in self.networks[:count]}
        shown = transfer(self.workplace, self.attacked(self.networks[0]), list(attacked.values()))
        tables = {label: shown[network.name] for label, network in attacked.items()}
        return {label: (int(table["is_right"].sum()), len(table)) for label, table in tables.items()}

    def group_scores(self, column: str, *, count: int | None = None) -> dict[str, Any]:
        """Scores the networks' answers to the test split as it is between the values of an attribute.

        Args:
            column: The attribute.
            count: Of the first so many networks only.
        """
        chosen = self.networks[:count]
        config = GroupsConfig(
            results=tuple(predictions(self.workplace, self.attacked(network)) for network in chosen),
            output=self.workplace.output,
            column=column,
            # The table has their numbers only.
            class_names=self.workplace.pictures.class_names,
            # A group without rows of a class is listed as left out there.
            minimum_count=1,
            draws=self.sizes.num_draws,
            seed=self.workplace.config.seed,
        )
        return self._titled(config, chosen)

    def _titled(self, config: ScoresConfig, networks: Sequence[Network]) -> dict[str, Any]:
        """Answers, with what the reader calls the networks in place of their folders."""
        summary = answer_scores(config)
        titles = dict(zip(summary["models"], (network.title for network in networks), strict=True))
        for rows in ("scores", "differences", "accuracies", "by_group", "left_out", "undefined"):
            for row in summary[rows]:
                for name in ("model", "first", "second"):
                    if row.get(name) in titles:
                        row[name] = titles[row[name]]
        notes = summary["notes"]
        for name, title in titles.items():
            notes = [note.replace(name, title) for note in notes]
        return summary | {"models": list(titles.values()), "notes": notes}


def scale_words(study: Study) -> str:
    """Says how much was trained and tested, for a section's paragraphs."""
    records, sizes = study.workplace.pictures, study.sizes
    num_train = min(records.num_examples("train"), sizes.train_limit or records.num_examples("train"))
    num_test = min(records.num_examples("test"), sizes.test_limit or records.num_examples("test"))
    what = "rows" if study.subject.name == "rows" else "pictures"
    return (
        f"{study.subject.model}, {num_train:,} training and {num_test:,} test {what} "
        f"({records.manifest.kind}), {sizes.epochs} epochs in batches of {sizes.batch_size}, Adam at 1e-3; "
        f"seeds {' '.join(map(str, study.workplace.config.all_seeds))}."
    )


def scores_table(caption: str, summary: dict[str, Any], wanted: Sequence[str], published: Any) -> Table:
    """Lists scores with what was printed of them.

    Args:
        caption: What it shows.
        summary: Of ``Study.scores``.
        wanted: Names of the scores.
        published: From a row of ``scores`` to the text of its last column; without, there is none.
    """
    chosen = [row for row in summary["scores"] if any(row["name"].startswith(name) for name in wanted)]
    if published is None:
        return Table(caption, list(SCORE_HEADS), [score_cells(row) for row in chosen])
    rows = [[*score_cells(row), published(row)] for row in chosen]
    return Table(caption, [*SCORE_HEADS, "published"], rows)


def differences_table(caption: str, summary: dict[str, Any], wanted: Sequence[str]) -> Table:
    """Lists how the scores of the later networks differ from the first one's, on the same images.

    Args:
        caption: What it shows.
        summary: Of ``Study.scores``.
        wanted: Names of the scores.
    """
    rows = [
        difference_cells(row)
        for row in summary["differences"]
        if any(row["name"].startswith(name) for name in wanted)
    ]
    return Table(caption, list(DIFFERENCE_HEADS), rows)


def draw_figures(
    study: Study, summary: dict[str, Any], name: str, *, wanted: str, attack: str | None = None
) -> list[Figure]:
    """Draws the bar charts of one kind.

    Args:
        study: Where they go.
        summary: Of ``Study.scores``.
        name: Beginning of their names.
        wanted: Kind: ``"accuracy"``, ``"success_rate"``, ``"least_epsilon"`` or ``"confidence"``.
        attack: Those under this attack only; ``"none"`` is without one.
    """
    figures: list[Figure] = []
    with style.house_style():
        for entry in figure_list(summary):
            is_asked = attack is None or {setting[0] for setting in entry["settings"]} == {attack}
            if is_asked and entry["figure"].split(" ")[0] == wanted:
                path = study.workplace.figure(f"{name}-{len(figures) + 1}")
                style.save_png(bar_figure(summary, entry), path)
                relative = path.relative_to(study.workplace.output).as_posix()
                figures.append(Figure(relative, f"{entry['title']}; lines are 95 % intervals."))
    return figures


def draw_unfairness(study: Study, summary: dict[str, Any], name: str) -> list[Figure]:
    """Draws EOU within each true class, as the paper's Figures 5 and 6 do.

    Args:
        study: Where it goes.
        summary: Of ``Study.group_scores``.
        name: Beginning of its name.
    """
    rows = [
        {**row, "figure": EOU, "group": row["name"].removesuffix(")").partition(" | ")[2]}
        for row in summary["scores"]
        if row["name"].startswith(EOU)
    ]
    if not rows:
        return []
    shown = summary | {
        "by_group": rows,
        "data": {"groups": {row["group"]: None for row in rows}, "column": "true class"},
    }
    title = f"EOU by {summary['data']['column']}"
    entry = {"figure": EOU, "settings": [("none", None, None)], "title": title}
    path = study.workplace.figure(f"{name}-eou")
    with style.house_style():
        style.save_png(bar_figure(shown, entry), path)
    relative = path.relative_to(study.workplace.output).as_posix()
    return [Figure(relative, f"{title}, within each true class; lines are 95 % intervals.")]
