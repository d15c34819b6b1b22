"""What a regression on income says in sentences, and what a reader must know before quoting it."""

import math
from collections.abc import Mapping
from typing import Any

from bioattack.fairness.income_regression import COVARIANCE_WORDS, LOGARITHM_WORDS

SIGNIFICANCE = 0.05
_FEW_IMAGES = 5
_PER_DOUBLING = {"natural": math.log(2), "base10": math.log10(2)}


def p_words(p_value: float) -> str:
    """Says a p value as papers do.

    >>> p_words(0.02554), p_words(1e-9)
    ('p = 0.026', 'p < 0.0001')
    """
    return f"p = {p_value:.2g}" if p_value >= 0.0001 else "p < 0.0001"


def points_per_doubling(slope: float, logarithm: str) -> float:
    """Turns a slope into percentage points of accuracy for each doubling of income.

    >>> round(points_per_doubling(0.1305, "base10"), 2)
    3.93
    """
    return 100 * slope * _PER_DOUBLING[logarithm]


def f_words(row: Mapping[str, Any]) -> str:
    """Says an F test: ``F(1, 39) = 5.39, p = 0.026``."""
    statistic = row["f_statistic"]
    value = "infinite" if statistic is None else f"{statistic:.3f}"
    return f"F(1, {row['df_residual']}) = {value}, {p_words(row['p_value'])}"


def dependence_sentence(row: Mapping[str, Any], *, name: str = "") -> str:
    """Says whether a model's accuracy depends on income, and how surely.

    Args:
        row: One of ``regressions`` in ``summary.json``.
        name: Of the model, where there are several.
    """
    of_model = f" of {name}" if name else ""
    per_doubling = [points_per_doubling(row[name], row["logarithm"]) for name in ("slope", "low", "high")]
    amount = f"{abs(per_doubling[0]):.1f} percentage points for each doubling of GDP per capita"
    interval = f"95 % interval {per_doubling[1]:.1f} to {per_doubling[2]:.1f}"
    if row["p_value"] < SIGNIFICANCE:
        verb = "rises" if row["slope"] > 0 else "falls"
        return f"Accuracy{of_model} {verb} with income: {amount} ({interval}; {f_words(row)})."
    found = row["smallest_slope"]
    could = ""
    if found is not None:
        least = points_per_doubling(found, row["logarithm"])
        could = f" Less than {least:.1f} points would often have been missed."
    return (
        f"No dependence of accuracy{of_model} on income was shown: {per_doubling[0]:+.1f} percentage points "
        f"for each doubling of GDP per capita ({interval}; {f_words(row)}).{could}"
    )


def comparison_sentence(summary: Mapping[str, Any]) -> str | None:
    """Says whether the first set's slopes are below the second's; ``None`` where there is one set.

    Args:
        summary: The content of ``summary.json``.
    """
    comparison = summary["comparison"]
    if comparison is None:
        return None
    test = comparison["tests"][0]
    first, second = (row["name"] for row in comparison["sets"][:2])
    statistic = (
        f"t({test['df_residual']:.4g}) = {test['statistic']:.3f}, "
        if test["df_residual"] is not None
        else f"{test['num_permutations']:,} permutations, "
    )
    is_shown = (
        "depend less on income than"
        if test["p_value"] < SIGNIFICANCE
        else "were not shown to depend less on income than"
    )
    return (
        f"Models of {first} {is_shown} those of {second} ({statistic}one-sided {p_words(test['p_value'])}; "
        f"{test['effect_name']} = {test['effect_size']:.2f})."
    )


def method_words(settings: Mapping[str, Any]) -> str:
    """Says how the line was fitted.

    >>> method_words({"covariance": "printed", "logarithm": "base10"})
    'generalised least squares on log10 of GDP per capita, covariance diagonal 1/√n'
    """
    logarithm, covariance = LOGARITHM_WORDS[settings["logarithm"]], COVARIANCE_WORDS[settings["covariance"]]
    return f"generalised least squares on {logarithm} of GDP per capita, covariance diagonal {covariance}"


def notes(summary: Mapping[str, Any]) -> list[str]:
    """Gives what a reader must know to trust the figures, one sentence each.

    Args:
        summary: The content of ``summary.json`` without its notes.
    """
    return [
        *_left_out_notes(summary),
        *_drawn_notes(summary),
        *_sample_notes(summary),
        *_sensitivity_notes(summary),
        *_simulation_notes(summary),
        *_comparison_notes(summary),
    ]


def _left_out_notes(summary: Mapping[str, Any]) -> list[str]:
    found = []
    for reason in dict.fromkeys(row["reason"] for row in summary["left_out"]):
        rows = [row for row in summary["left_out"] if row["reason"] == reason]
        names = ", ".join(row["name"] or "(empty)" for row in rows[:6]) + (", …" if len(rows) > 6 else "")
        number = sum(row["num_images"] for row in rows)
        places = "1 place" if len(rows) == 1 else f"{len(rows)} places"
        found.append(f"Left out: {places} with {number:,} images: {names}: {reason}.")
    for code, spellings in summary["merged"].items():
        found.append(f"{' and '.join(spellings)} were counted as one country, {code}.")
    return found


def _drawn_notes(summary: Mapping[str, Any]) -> list[str]:
    number, drawn = len(summary["regressions"]), summary["drawn"]
    if len(drawn) == number or drawn[0] in summary["sets"].get("pretrained", ()):
        return []
    return [
        f"Of {number} models one, {drawn[0]}, is drawn country by country; all are in tables/regressions.csv."
    ]


def _sample_notes(summary: Mapping[str, Any]) -> list[str]:
    data = summary["data"]
    if data["num_single"]:
        return [
            f"{data['num_single']} of {data['num_countries']} countries have a single image, whose accuracy "
            "is 0 or 1; --minimum-images leaves such countries out."
        ]
    if data["least_images"] < _FEW_IMAGES:
        return [f"Some countries have only {data['least_images']} images; --minimum-images leaves them out."]
    return []


def _sensitivity_notes(summary: Mapping[str, Any]) -> list[str]:
    chosen = f"covariance {summary['settings']['covariance']}"
    found = []
    for model in summary["drawn"]:
        rows = [row for row in summary["sensitivity"] if row["model"] == model]
        is_significant = {row["variant"]: row["p_value"] < SIGNIFICANCE for row in rows}
        turned = [name for name, value in is_significant.items() if value != is_significant[chosen]]
        if turned:
            verdict = "is no longer" if is_significant[chosen] else "becomes"
            found.append(f"{model}: the slope {verdict} significant at 5 % {_variant_words(turned)}.")
    return found


def _variant_words(variants: list[str]) -> str:
    words = [
        f"with covariance {COVARIANCE_WORDS[name.removeprefix('covariance ')]}"
        if name.startswith("covariance ")
        else name
        for name in variants
    ]
    return ", and ".join(words)


def _simulation_notes(summary: Mapping[str, Any]) -> list[str]:
    covariance = summary["settings"]["covariance"]
    return [
        f"If accuracies scatter by the binomial rate alone, the F test with covariance "
        f"{COVARIANCE_WORDS[covariance]} errs on {100 * row['rate']:.1f} % of tables like this one, not 5 %."
        for row in summary["simulation"]
        if row["slope"] == 0
        and row["truth"] == "counts"
        and row["covariance"] == covariance
        and not row["keeps_level"]
    ]


def _comparison_notes(summary: Mapping[str, Any]) -> list[str]:
    comparison = summary["comparison"]
    if comparison is None:
        return []
    found = []
    if comparison["paired_by"] == "order":
        found.append(
            "The two sets' models were paired in the order given: their names end in no numbers that agree."
        )
    verdicts = {test["test"]: test["p_value"] < SIGNIFICANCE for test in comparison["tests"]}
    if len(set(verdicts.values())) > 1:
        yes = ", ".join(name for name, value in verdicts.items() if value)
        found.append(f"The tests of the two sets disagree at 5 %: only {yes} rejects.")
    return found
