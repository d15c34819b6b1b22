"""The masking audit in words, computed from ``summary.json``."""

from collections import Counter
from typing import Any

from bioattack.evaluation.audit_checks.verdicts import FAILS, HOLDS, UNDECIDED
from bioattack.evaluation.findings import number_word

_CLASSES = {HOLDS: "right", FAILS: "wrong", UNDECIDED: ""}


def audit_content(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns what the report shows of each model's audit; nothing without an audit."""
    return [
        {
            "name": model["model"],
            "sentence": audit_sentence(model),
            "checks": [
                {
                    "title": entry["title"],
                    "verdict": entry["verdict"],
                    "class": _CLASSES[entry["verdict"]],
                    "sentence": entry["sentence"],
                    "num_images": entry["num_images"],
                    "figures": figure_words(entry["figures"]),
                }
                for entry in model["checks"]
            ],
        }
        for model in (summary.get("audit") or {"models": []})["models"]
    ]


def audit_sentence(model: dict[str, Any]) -> str:
    """Says how an audit ended.

    >>> audit_sentence({"checks": [{"verdict": "holds"}] * 3 + [{"verdict": "not applicable"}]})
    'Three checks hold; one cannot be told.'
    """
    counts = Counter(entry["verdict"] for entry in model["checks"])
    words: list[str] = []
    for verdict, singular, plural in (
        (FAILS, "does not hold", "do not hold"),
        (HOLDS, "holds", "hold"),
        (UNDECIDED, "cannot be told", "cannot be told"),
    ):
        number = counts[verdict]
        if number:
            noun = "" if words else f" check{'s' if number > 1 else ''}"
            words.append(f"{number_word(number)}{noun} {singular if number == 1 else plural}")
    sentence = "; ".join(words)
    return f"{sentence[:1].upper()}{sentence[1:]}." if sentence else ""


def figure_words(figures: dict[str, Any]) -> list[str]:
    """Says measured figures, a line each.

    >>> figure_words({"p_value": 0.00123, "num_left": {"one start": 3}, "steps": [0.5, None]})
    ['p value 0.00123', 'num left: one start 3', 'steps: 0.5, none']
    """
    lines = []
    for key, value in figures.items():
        name = key.replace("_", " ")
        if isinstance(value, dict):
            lines.append(f"{name}: {', '.join(f'{one} {_said(number)}' for one, number in value.items())}")
        elif isinstance(value, list):
            lines.append(f"{name}: {', '.join(map(_said, value))}")
        else:
            lines.append(f"{name} {_said(value)}")
    return lines


def _said(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
