"""The section of Figure 3.1: one step by SSIM against one step by L2, on digits."""

from typing import Any

import pandas as pd

from bioattack.attacks.request import AttackRequest
from bioattack.classifier import load_classifier
from bioattack.distances import make_distance
from bioattack.evaluation.imperceptibility import imperceptibility_table
from bioattack.evaluation.reproduce.experiment import Experiment
from bioattack.evaluation.reproduce.imperceptible_attacks import Contender
from bioattack.evaluation.reproduce.imperceptible_measure import Attacked, measure_contender, originals
from bioattack.evaluation.reproduce.imperceptible_side_by_side import Column, draw_pictures
from bioattack.evaluation.reproduce.imperceptible_sizes import sizes_of
from bioattack.evaluation.reproduce.imperceptible_subject import Subject, train_network
from bioattack.evaluation.reproduce.imperceptible_tables import NORM_TITLES, mean_words, rate_words
from bioattack.evaluation.reproduce.opening import draw_records
from bioattack.evaluation.reproduce.page import Figure, Section, Table
from bioattack.evaluation.reproduce.robustness import to_records
from bioattack.evaluation.reproduce.workplace import DIGITS, FIGURES, Workplace
from bioattack.tfrecords_builder.reading import Records, open_records

EPSILON = 10.0
# The class that the paper shows.
_SHOWN_CLASS = "1"
_NUM_SHOWN = 2
# Beyond this side pictures are no digits, and a step of length 10 is short.
_LARGEST_DIGIT = 64
_MEASURES = (*NORM_TITLES, "ssim")


def _attacks() -> tuple[Contender, ...]:
    return (
        Contender("digits-ssim", "SSIM, one step", AttackRequest("ssim-newton", "l2", (EPSILON,))),
        Contender("digits-l2", "L2, one step", AttackRequest("fgsm", "l2", (EPSILON,))),
    )


def digits_section(workplace: Workplace, experiment: Experiment) -> Section:
    """Trains a small network on digits, attacks it with both steps, and draws the first that fall to both."""
    subject, is_mnist = _subject(workplace)
    found = [
        measure_contender(
            workplace,
            subject,
            contender,
            num_images=sizes_of(workplace.config).num_digits,
            judges={"ssim": make_distance("ssim")},
        )
        for contender in _attacks()
    ]
    results = pd.concat([one.results for one in found], ignore_index=True)
    table = imperceptibility_table(results, distances=_MEASURES)
    workplace.write_table(experiment.name, table)
    names = _shown(subject, found)
    draw_pictures(workplace.figure(experiment.name), _rows(subject, found, names))
    caption = (
        "Left: as it is, with its class. Middle and right: attacked, with the class that it is taken for."
    )
    warnings = (
        []
        if is_mnist
        else [
            "Published with MNIST; these are other pictures. Records of MNIST (bioattack-build-records "
            "mnist) given with --data make the paper's figure."
        ]
    )
    return Section(
        name=experiment.name,
        title=experiment.title,
        paragraphs=(*experiment.text, subject.words),
        tables=[_table(table)],
        figures=[Figure(f"{FIGURES}/{experiment.name}.png", caption)],
        warnings=warnings,
        values={"attacks": to_records(table)},
    )


def _subject(workplace: Workplace) -> tuple[Subject, bool]:
    sizes, records = sizes_of(workplace.config), _records(workplace)
    path = train_network(
        workplace,
        f"digits-{records.manifest.kind}",
        model="small_cnn",
        records=records,
        options={},
        sizes=sizes,
        epochs=sizes.digit_epochs,
    )
    shape = " x ".join(map(str, records.image_shape))
    words = f"Attacked: a small network of two convolutions; {records.manifest.kind} pictures of {shape}."
    return Subject(load_classifier(path, name=path.stem), path, records, words), (
        records.manifest.kind == "mnist"
    )


def _records(workplace: Workplace) -> Records:
    """The user's records where they can be digits, and drawn pictures of that size elsewhere."""
    data, sizes = workplace.config.data, sizes_of(workplace.config)
    if data is not None and data.suffix != ".zip":
        records = open_records(data)
        if {"train", "test"} <= set(records.splits) and max(records.image_shape) <= _LARGEST_DIGIT:
            return records
    return draw_records(
        workplace.output / DIGITS,
        num_train=sizes.num_train,
        num_test=sizes.num_digits,
        size=sizes.digit_size,
        quiet=workplace.config.quiet,
    )


def _shown(subject: Subject, found: list[Attacked]) -> list[str]:
    """The first ones that both attacks have fooled with; of other classes where there are too few."""
    first, second = (one.results.set_index("image_id") for one in found)
    both = first[first["success"] & second["success"].reindex(first.index)]
    classes = subject.records.class_names
    label = classes.index(_SHOWN_CLASS) if _SHOWN_CLASS in classes else -1
    order = [*both.index[both["label"] == label], *both.index[both["label"] != label], *first.index]
    return [str(name) for name in dict.fromkeys(order)][:_NUM_SHOWN]


def _rows(subject: Subject, found: list[Attacked], names: list[str]) -> list[list[Column]]:
    images, labels = originals(subject, names)
    classes = subject.records.class_names
    rows = []
    for image, label, name in zip(images, labels.tolist(), names, strict=True):
        columns = [Column("original", image, classes[label])]
        for contender, attacked in zip(_attacks(), found, strict=True):
            its = attacked.results.set_index("image_id")
            predicted: Any = its["predicted_adversarial"].loc[name]
            columns.append(Column(contender.title, attacked.load([name])[0], classes[int(predicted)]))
        rows.append(columns)
    return rows


def _table(table: pd.DataFrame) -> Table:
    titles = {contender.key: contender.title for contender in _attacks()}
    columns = {**NORM_TITLES, "ssim": "1 - SSIM"}
    lines = [
        [
            *(titles[row["attack"]], f"{int(row['num_images']):,}", rate_words(row)),
            *(mean_words(row, name) for name in columns),
        ]
        for row in table.to_dict(orient="records")
    ]
    return Table(
        f"One step of length {EPSILON:g}, cut off at black and white: success over the pictures that were "
        "right before, means over the successes.",
        ["attack", "pictures", "success, %", *columns.values()],
        lines,
    )
