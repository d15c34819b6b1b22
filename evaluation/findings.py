"""What an evaluation found, in plain words: the sentences of the report, computed from ``summary.json``."""

from collections.abc import Sequence
from typing import Any, NamedTuple

SPACE, DASH, TIMES, MINUS = "\u00a0", "\u2013", "\u00d7", "\u2212"
NORM_NAMES = {"linf": "L∞", "l2": "L2", "l1": "L1", "rms": "RMS"}
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


class Point(NamedTuple):
    """One setting of an attack: its name, the norm, and how large a change it may make."""

    attack: str
    norm: str
    epsilon: float


class Piece(NamedTuple):
    """A part of a sentence; ``role`` is ``"clean"``, ``"adversarial"``, ``"model"`` or empty."""

    text: str
    role: str = ""


Sentence = tuple[Piece, ...]


def plain(sentence: Sequence[Piece]) -> str:
    """Returns a sentence as text."""
    return "".join(piece.text for piece in sentence)


def percent(count: int, total: int) -> str:
    r"""Says a proportion with as many digits as the number of images supports.

    Nothing is rounded to 0 or 100 % that is not exactly that.

    >>> percent(1, 500), percent(435, 500)
    ('0.2\xa0%', '87\xa0%')
    """
    if total == 0:
        return DASH
    value = 100 * count / total
    for digits in (1,) if total > 1000 else (0, 1):
        text = f"{value:.{digits}f}"
        if float(text) not in (0, 100) or count in (0, total):
            return f"{text.removesuffix('.0') if count in (0, total) else text}{SPACE}%"
    return f"<{SPACE}0.1{SPACE}%" if value < 50 else f">{SPACE}99.9{SPACE}%"


def interval(row: dict[str, Any], *, suffix: str = "") -> str:
    """Says the ends of the 95 % interval of a row of ``summary.json``, such as ``82 to 91 %``."""
    digits = 1 if row["num_images"] > 1000 else 0
    low, high = 100 * row[f"low{suffix}"], 100 * row[f"high{suffix}"]
    return f"{abs(low):.{digits}f} to {high:.{digits}f}{SPACE}%"


def num_right(row: dict[str, Any], *, suffix: str = "") -> int:
    """Returns how many images of a row of ``summary.json`` are right, after the attack where there is one."""
    if "num_correct" in row:
        return int(row["num_correct"])
    return int(row["num_images"] - row["num_misclassified"] - row[f"num_success{suffix}"])


def number_word(number: int) -> str:
    """Returns a small number as a word, a larger one in digits."""
    return _NUMBERS[number] if number < len(_NUMBERS) else str(number)


def norm_name(norm: str) -> str:
    """Returns how people write a norm: ``L∞`` for ``linf``."""
    return NORM_NAMES.get(norm, norm)


def of_rows(summary: dict[str, Any]) -> bool:
    """Tells whether rows of a table were attacked, and no pictures."""
    return bool(summary["data"].get("table"))


def inputs_word(summary: dict[str, Any]) -> str:
    """Names what was attacked: ``pictures`` or ``rows``."""
    return "rows" if of_rows(summary) else "pictures"


def change_words(point: Point, *, of_rows: bool = False) -> str:
    """Says what an attack may do, as the beginning of a sentence.

    Args:
        point: The setting.
        of_rows: Whether rows of a table were attacked, in the attributes' own units.
    """
    if of_rows:
        return f"Changing every attribute that may move by at most {point.epsilon:.3g}"
    if point.norm == "linf":
        return f"Changing every pixel by at most {100 * point.epsilon:.3g}{SPACE}% of its range"
    if point.norm == "rms":
        return f"Changing the pixels by {100 * point.epsilon:.3g}{SPACE}% of their range in the mean square"
    return f"Changing a picture by an {norm_name(point.norm)} distance of at most {point.epsilon:.3g}"


def model_names(summary: dict[str, Any]) -> list[str]:
    """Returns the models' display names in the order in which they were given."""
    return [model["name"] for model in summary["models"]]


def points(summary: dict[str, Any]) -> list[Point]:
    """Returns all settings of all attacks with an epsilon above 0, by attack, norm and epsilon."""
    rows = summary["adversarial"]
    norms = list(dict.fromkeys((row["attack"], row["norm"]) for row in rows))
    found = {Point(row["attack"], row["norm"], row["epsilon"]) for row in rows if row["epsilon"] > 0}
    return sorted(found, key=lambda point: (norms.index(point[:2]), point.epsilon))


def rows_at(summary: dict[str, Any], point: Point) -> list[dict[str, Any]]:
    """Returns the rows of one setting, a row per model in the models' order."""
    names = model_names(summary)
    rows = [
        row for row in summary["adversarial"] if Point(row["attack"], row["norm"], row["epsilon"]) == point
    ]
    return sorted(rows, key=lambda row: names.index(row["model"]))


def headline_point(summary: dict[str, Any]) -> Point | None:
    """Chooses the setting that the headline tells.

    Of the first norm (L∞ where it was measured): for one model the smallest epsilon at which nine tenths of
    what was right is lost, for several the one that leaves, on average, about half; where no epsilon does so
    much, the largest.
    """
    return _choose(summary, share_left=0.1 if len(summary["models"]) == 1 else 0.5)


def class_point(summary: dict[str, Any]) -> Point | None:
    """Chooses the setting at which classes are compared: where about half of what was right is left."""
    return _choose(summary, share_left=0.5)


def _choose(summary: dict[str, Any], *, share_left: float) -> Point | None:
    candidates = points(summary)
    norm = "linf" if any(point.norm == "linf" for point in candidates) else None
    candidates = [point for point in candidates if point.norm == (norm or candidates[0].norm)]
    if not candidates:
        return None
    clean = _mean(summary["clean"])
    left = [_mean(rows_at(summary, point)) / clean if clean else 1.0 for point in candidates]
    if share_left < 0.5:
        small_enough = [point for point, share in zip(candidates, left, strict=True) if share <= share_left]
        return small_enough[0] if small_enough else candidates[-1]
    distances = [abs(share - share_left) for share in left]
    return candidates[distances.index(min(distances))]


def _mean(rows: Sequence[dict[str, Any]]) -> float:
    return sum(row["accuracy"] for row in rows) / max(1, len(rows))


def pictures_words(summary: dict[str, Any]) -> str:
    """Says what pictures were shown; ``unseen`` only where the models' cards prove it."""
    data, inputs = summary["data"], inputs_word(summary)
    if data["split"] == "train":
        return f"training {inputs}"
    cards = [model["card"] or {} for model in summary["models"]]
    trained_on = {str((card.get("data") or {}).get("fingerprint")) for card in cards}
    return f"unseen {inputs}" if trained_on == {str(data["fingerprint"])} else f"{data['split']} {inputs}"


def headline(summary: dict[str, Any]) -> list[Sentence]:
    """Returns the one or two sentences that say what was found, whatever the outcome."""
    point = headline_point(summary)
    if len(summary["models"]) == 1:
        sentences = [_one_model_clean(summary)]
        if point and num_right(summary["clean"][0]):
            sentences.append(_one_model_attacked(summary, point))
        return sentences
    sentences = [_many_models(summary, summary["clean"], point=None)]
    if point:
        sentences.append(_many_models(summary, rows_at(summary, point), point=point))
    return sentences


def _one_model_clean(summary: dict[str, Any]) -> Sentence:
    row, pictures = summary["clean"][0], pictures_words(summary)
    right, number = num_right(row), row["num_images"]
    start = Piece("This model gets ")
    if right in (0, number):
        return (start, Piece("all" if right else "none", "clean"), Piece(f" of {number} {pictures} right."))
    return (start, Piece(percent(right, number), "clean"), Piece(f" of {pictures} right."))


def _one_model_attacked(summary: dict[str, Any], point: Point) -> Sentence:
    clean, row = num_right(summary["clean"][0]), rows_at(summary, point)[0]
    right = num_right(row)
    words = Piece(change_words(point, of_rows=of_rows(summary)))
    if right == clean:
        return (words, Piece(" takes "), Piece("none", "adversarial"), Piece(" of them away."))
    if right == 0:
        return (words, Piece(" leaves "), Piece("none", "adversarial"), Piece("."))
    still = " still leaves " if 2 * right >= clean else " leaves "
    return (words, Piece(still), Piece(percent(right, row["num_images"]), "adversarial"), Piece("."))


def _many_models(summary: dict[str, Any], rows: list[dict[str, Any]], *, point: Point | None) -> Sentence:
    role = "adversarial" if point else "clean"
    shares = [Piece(percent(num_right(row), row["num_images"]), role) for row in rows]
    names = [Piece(row["model"], "model") for row in rows]
    of_how_many = f"Of {summary['data']['num_images']} {pictures_words(summary)}, "
    change = change_words(point, of_rows=of_rows(summary)) if point else ""
    start = Piece(f"{change} leaves " if point else of_how_many)
    if len(rows) == 2:
        verb, end = (Piece(" "), Piece(".")) if point else (Piece(" gets "), Piece(" right."))
        return (start, names[0], verb, shares[0], Piece(" and "), names[1], Piece(" "), shares[1], end)
    who = Piece("" if point else f"the {number_word(len(rows))} models get ")
    ranked = sorted(range(len(rows)), key=lambda index: rows[index]["accuracy"])
    worst, best = ranked[0], ranked[-1]
    end = Piece(" each." if point else " right each.")
    if rows[worst]["accuracy"] == rows[best]["accuracy"]:
        return (start, who, shares[best], end)
    low = (shares[worst], Piece(" ("), names[worst], Piece(")"))
    high = (shares[best], Piece(" ("), names[best], Piece(")." if point else ") right."))
    return (start, who, Piece("between "), *low, Piece(" and "), *high)
