"""What a reader must know to trust the figures of an evaluation, computed from ``summary.json``."""

from typing import Any

from bioattack.evaluation.findings import SPACE, inputs_word, number_word, of_rows, percent, points, rows_at


def caveats(summary: dict[str, Any]) -> list[str]:
    """Returns the caveats that apply to this evaluation, a sentence or two each."""
    return [
        *_failed_audits(summary),
        *_no_better_than_guessing(summary),
        *_barely_dented(summary),
        *_random_layers(summary),
        *summary["notes"],
        *_upper_bound(summary),
        *_validity(summary),
        _sampling(summary),
        *_origin(summary),
    ]


def has_random_layers(model: dict[str, Any]) -> bool:
    """Tells whether a model's card says that it answers the same picture differently from call to call."""
    return bool((model["card"] or {}).get("has_random_layers"))


def _failed_audits(summary: dict[str, Any]) -> list[str]:
    return [
        f"Of the audit's checks {number_word(model['num_failed'])} "
        f"{'does' if model['num_failed'] == 1 else 'do'} not hold for {model['model']}: its accuracies under "
        "attack may be those of an attack that fails, and not of a model that withstands."
        for model in (summary.get("audit") or {"models": []})["models"]
        if model["num_failed"]
    ]


def _no_better_than_guessing(summary: dict[str, Any]) -> list[str]:
    num_classes = len(summary["data"]["class_names"])
    return [
        f"{row['model']} is not measurably better than guessing ({percent(1, num_classes)}) on the "
        f"{inputs_word(summary)} as they are: what an attack takes from it says little."
        for row in summary["clean"]
        if row["low"] <= 1 / num_classes
    ]


def _barely_dented(summary: dict[str, Any]) -> list[str]:
    accuracies = {row["model"]: row["accuracy"] for row in summary["clean"]}
    attacked = [row for point in points(summary) for row in rows_at(summary, point)]
    dented = {row["model"] for row in attacked if row["accuracy"] <= 0.9 * accuracies[row["model"]]}
    return [
        f"No change tried takes more than a tenth of what {name} gets right. Before calling it robust, try "
        "larger epsilons, more steps, and attacks that need no gradient: a gradient that says nothing looks "
        "the same."
        for name, accuracy in accuracies.items()
        if attacked and accuracy > 0 and name not in dented
    ]


def _random_layers(summary: dict[str, Any]) -> list[str]:
    return [
        f"{model['name']} has random layers: it can answer the same {inputs_word(summary)[:-1]} differently "
        "from call to call, and an attack that sees one draw at a time makes it look more robust than it is."
        for model in summary["models"]
        if has_random_layers(model)
    ]


def _upper_bound(summary: dict[str, Any]) -> list[str]:
    steps = sorted({attack["steps"] for attack in summary["protocol"]["attacks"]})
    words = " or ".join(map(str, steps))
    return [
        f"The accuracies under attack are upper bounds. PGD with {words} step{'' if steps == [1] else 's'} "
        "is one attack; a stronger one (more steps, random restarts, another loss) leaves the same or less."
        for _ in steps[:1]
    ]


def _validity(summary: dict[str, Any]) -> list[str]:
    """What the attack left of the rows' meaning; nothing is to be said of pictures."""
    if not of_rows(summary):
        return []
    moved, settings = summary["data"].get("moved", []), summary["settings"]
    if settings.get("perturb") == "all":
        return [
            "Every attribute was moved within its range as if it were a real number, the codes of categories "
            "too: the rows under attack describe nobody. --perturb valid keeps them valid."
        ]
    return [
        f"Only {', '.join(moved)} were moved, within the ranges that the records' manifest states (those of "
        "all rows of the source) and in whole numbers where they count something; categories stayed. A "
        "distance of one means one unit of each: a year of age as much as a dollar of gain."
    ]


def _sampling(summary: dict[str, Any]) -> str:
    number, inputs = summary["data"]["num_images"], inputs_word(summary)
    widest = 100 * 1.96 * 0.5 / number**0.5
    return (
        f"{number} {inputs} were shown, so an accuracy near 50{SPACE}% is known to about ±{widest:.2g} points"
        f". The intervals (95{SPACE}%, Wilson) cover the choice of {inputs}, not what training again with "
        "another seed would give."
    )


def _origin(summary: dict[str, Any]) -> list[str]:
    lines = []
    is_training_split = summary["data"]["split"] == "train"
    if summary["data"]["kind"] == "synthetic":
        lines.append(
            "The pictures were drawn by a program. They show how attacks work; they do not stand for "
            "photographs."
        )
    if is_training_split:
        inputs = inputs_word(summary)
        lines.append(f"These are the {inputs} of the training split: accuracies on unseen ones are lower.")
    foreign = [model["name"] for model in summary["models"] if not model["card"]]
    if foreign and not is_training_split:
        lines.append(
            f"How {' and '.join(foreign)} {'was' if len(foreign) == 1 else 'were'} trained is not known "
            f"here, nor whether these {inputs_word(summary)} were part of it."
        )
    return lines
