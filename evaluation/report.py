"""The report of an evaluation: one HTML file that explains itself, offline, on any screen."""

import base64
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2.ext import Extension
from markupsafe import Markup

from bioattack.evaluation import figure_style as style
from bioattack.evaluation.audit_words import audit_content
from bioattack.evaluation.caveats import caveats, has_random_layers
from bioattack.evaluation.figures import (
    chosen_examples,
    class_rows,
    curves,
    magnification,
    read_histories,
    robustness_figure,
    training_figure,
    worst_and_best,
)
from bioattack.evaluation.findings import (
    DASH,
    MINUS,
    SPACE,
    TIMES,
    Point,
    change_words,
    class_point,
    headline,
    headline_point,
    interval,
    model_names,
    norm_name,
    num_right,
    of_rows,
    percent,
    plain,
    rows_at,
)
from bioattack.evaluation.group_report import groups_content
from bioattack.evaluation.pages import page_environment
from bioattack.evaluation.paired import compare_models
from bioattack.evaluation.results import EXAMPLES, epsilon_words, read_examples, read_results, read_summary
from bioattack.evaluation.vision_report import looks_content

MAX_GROUPS_ONE_MODEL, MAX_GROUPS_SEVERAL_MODELS = 5, 2

_JUDGED_WORDS = {
    "any": "if the model errs at any step of the attack",
    "last": "if the model errs at the last step of the attack",
}


def write_report(output: Path) -> Path:
    """Writes ``report.html``, a single file that needs nothing else and no network.

    Args:
        output: An evaluation's folder; ``results.csv.gz``, ``summary.json``, ``examples/``,
            ``models/*/history.csv`` and what ``write_vision_figures`` left in ``figures/`` are read.

    Returns:
        The path of the report, which appears whole or not at all. The same input gives the same bytes.
    """
    output = Path(output)
    content = report_content(output)
    environment = page_environment(extensions=[_WordsOfRows] if content["of_rows"] else [])
    page = environment.get_template("report.html.j2").render(content)
    path = output / "report.html"
    temporary = path.with_name(".report.html.partial")
    temporary.write_text(page, encoding="utf-8")
    return temporary.replace(path)


class _WordsOfRows(Extension):
    """Lets the template's own words speak of rows where they speak of pictures; nothing else is touched."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:  # noqa: ARG002
        # Every second part is an expression, a tag or the style sheet.
        parts = re.split(
            r"(\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}|<style>.*?</style>|<[^>]*>)", source, flags=re.DOTALL
        )
        return "".join(
            part if place % 2 else re.sub(r"\b(p|P)icture(s?)\b", _row_word, part)
            for place, part in enumerate(parts)
        )


def _row_word(found: re.Match[str]) -> str:
    return ("Row" if found[1] == "P" else "row") + found[2]


def report_content(output: Path) -> dict[str, Any]:
    """Returns everything that the template shows, read and computed from an evaluation's folder."""
    summary = read_summary(output)
    sentences = headline(summary)
    point = headline_point(summary)
    return {
        "title": " ".join(plain(sentence) for sentence in sentences),
        "headline": sentences,
        "data": summary["data"],
        "of_rows": of_rows(summary),
        "protocol": summary["protocol"],
        "point_words": point_words(point, of_rows=of_rows(summary)),
        "judged_words": _JUDGED_WORDS[summary["protocol"]["judged"]],
        "models": [_model(summary, index) for index in range(len(summary["models"]))],
        "scores": _scores(summary, point),
        "example_groups": _example_groups(summary, output),
        "strips": _strips(summary, output),
        "looks": looks_content(output, model_names(summary)),
        "curves": _curves(summary),
        "classes": _classes(summary),
        "grouped": groups_content(summary, output),
        "training": _training(summary, output),
        "tables": _tables(summary),
        "comparisons": _comparisons(summary, output, point),
        "audits": audit_content(summary),
        "caveats": caveats(summary),
        "facts": _facts(summary),
        "versions": summary["versions"],
        "git_commit": summary["git_commit"],
        "command": command_line(
            summary["settings"], has_audit="audit" in summary, group_by=list(summary.get("by_group", {}))
        ),
        "series": list(zip(style.SERIES, style.SERIES_DARK, strict=True)),
    }


def point_words(point: Point | None, *, of_rows: bool = False) -> str:
    """Names a setting shortly, such as ``L∞, ε = 0.01 (2.55/255)``; empty for none."""
    if point is None:
        return ""
    return f"{norm_name(point.norm)}, ε = {epsilon_words(point.epsilon, norm=point.norm, of_rows=of_rows)}"


def command_line(settings: dict[str, Any], *, has_audit: bool = False, group_by: Sequence[str] = ()) -> str:
    """Returns the command that measures the same again, one option a line.

    Args:
        settings: ``settings`` of ``summary.json``; what is None, empty or only about how a run behaves is
            left out.
        has_audit: Whether the gradients were audited.
        group_by: The columns by which groups were compared.
    """
    words = []
    for name, value in settings.items():
        flag = "--" + name.replace("_", "-")
        if name == "epsilons":
            words += [_option(flag if norm == "linf" else f"{flag}-{norm}", value[norm]) for norm in value]
        elif name == "steps":
            # One number for all norms is what the flag takes; where they differ, they are the protocol's.
            numbers = set(value.values())
            words += [_option(flag, number) for number in numbers if len(numbers) == 1]
        elif name == "model":
            words += [_option(flag, model) for model in value]
        elif not isinstance(value, bool) and value not in (None, [], ""):
            words.append(_option(flag, value))
    audit = ["--audit"] if has_audit else []
    audit += [_option("--group-by", list(group_by))] if group_by else []
    return " \\\n  ".join(["bioattack-evaluate", *words, *audit, "--output again"])


def _option(flag: str, value: Any) -> str:
    values = value if isinstance(value, list | tuple) else [value]
    return " ".join([flag, *(shlex.quote(str(one)) for one in values)])


def _model(summary: dict[str, Any], index: int) -> dict[str, Any]:
    model = summary["models"][index]
    card = model["card"] or {}
    return {
        "index": index % len(style.SERIES),
        "name": model["name"],
        "source": model["source"],
        "num_parameters": model["num_parameters"],
        "has_random_layers": has_random_layers(model),
        "card": card,
        "is_ours": bool(card),
    }


def _scores(summary: dict[str, Any], point: Point | None) -> list[dict[str, Any]]:
    attacked = rows_at(summary, point) if point else [None] * len(summary["models"])
    clean = {row["model"]: row for row in summary["clean"]}
    return [
        {"name": name, "index": index % len(style.SERIES), "clean": _score(clean[name])}
        | {"adversarial": _score(row) if row else None}
        for index, (name, row) in enumerate(zip(model_names(summary), attacked, strict=True))
    ]


def _score(row: dict[str, Any], *, suffix: str = "") -> dict[str, Any]:
    return {
        "words": percent(num_right(row, suffix=suffix), row["num_images"]),
        "interval": interval(row, suffix=suffix),
        "value": round(100 * row[f"accuracy{suffix}"], 2),
        "low": round(100 * row[f"low{suffix}"], 2),
        "high": round(100 * row[f"high{suffix}"], 2),
        "num_images": row["num_images"],
    }


def _picture(output: Path, name: str) -> str:
    content = base64.b64encode((output / EXAMPLES / name).read_bytes()).decode("ascii")
    return f"data:image/png;base64,{content}"


def _example(summary: dict[str, Any], output: Path, example: dict[str, Any]) -> dict[str, Any]:
    names = model_names(summary)
    return {
        "model": example["model"],
        "index": names.index(example["model"]) % len(style.SERIES),
        "label_name": example["class_name"],
        "difference": _picture(output, example["difference"]),
        "adversarial": _picture(output, example["adversarial"]),
        "magnification": f"{magnification(example):.3g}",
        "epsilon_words": epsilon_words(example["epsilon"], norm=example["norm"]),
        "epsilon": f"{example['epsilon']:.3g}",
        "norm": norm_name(example["norm"]),
        "clean": _seen(example, "clean"),
        "after": _seen(example, "adversarial"),
        "survives_saving": example["success_8bit"],
        "success": example["success"],
        "is_untouched": example["difference_scale"] <= 1e-12,
    }


def _seen(example: dict[str, Any], kind: str) -> dict[str, Any]:
    return {
        "name": example[f"predicted_{kind}_name"],
        "is_right": example[f"predicted_{kind}"] == example["label"],
        "margin": f"{example[f'margin_{kind}']:+.1f}".replace("-", MINUS),
    }


def _example_groups(summary: dict[str, Any], output: Path) -> list[dict[str, Any]]:
    groups: dict[str, dict[str, Any]] = {}
    is_small = max((summary["data"]["image_shape"] or [0])[:2]) <= 160
    for example in chosen_examples(summary, read_examples(output)):
        group = groups.setdefault(
            example["image_id"],
            {
                "name": example["class_name"],
                "original": _picture(output, example["original"]),
                "is_small": is_small,
                "attacks": [],
            },
        )
        group["attacks"].append(_example(summary, output, example))
    limit = MAX_GROUPS_ONE_MODEL if len(summary["models"]) == 1 else MAX_GROUPS_SEVERAL_MODELS
    shown = list(groups.values())[:limit]
    # The first is shown large, the others two by two.
    return shown[:-1] if len(shown) > 2 and len(shown) % 2 == 0 else shown


def _strips(summary: dict[str, Any], output: Path) -> list[dict[str, Any]]:
    """Returns, per norm, the first saved picture at every epsilon as the first model saw it."""
    examples = read_examples(output)
    strips = []
    for attack, norm in curves(summary):
        steps = [
            example
            for example in examples
            if (example["attack"], example["norm"]) == (attack, norm)
            and example["image_id"] == examples[0]["image_id"]
            and example["model"] == examples[0]["model"]
        ]
        if len(steps) > 1:
            is_small = max(summary["data"]["image_shape"][:2]) <= 160
            shown = [
                _example(summary, output, step) for step in sorted(steps, key=lambda step: step["epsilon"])
            ]
            original = _picture(output, steps[0]["original"])
            strips.append(
                {"norm": norm_name(norm), "is_small": is_small, "original": original, "steps": shown}
            )
    return strips


def _curves(summary: dict[str, Any]) -> list[Markup]:
    drawn = []
    for attack, norm in curves(summary):
        with style.house_style():
            figure = robustness_figure(summary, attack=attack, norm=norm, has_legend=False)
            svg = style.to_svg(
                figure, name=f"curve-{attack}-{norm}", title=_curve_words(summary, attack, norm)
            )
        drawn.append(Markup(svg))  # noqa: S704
    return drawn


def _curve_words(summary: dict[str, Any], attack: str, norm: str) -> str:
    lines = []
    for name in model_names(summary):
        rows = [
            row
            for row in summary["adversarial"]
            if (row["model"], row["attack"], row["norm"]) == (name, attack, norm)
        ]
        steps = [
            f"{percent(num_right(row), row['num_images'])} at {row['epsilon']:.3g}"
            for row in sorted(rows, key=lambda row: row["epsilon"])
        ]
        lines.append(f"{name}: {', '.join(steps)}.")
    return f"Pictures still right against the size of the change in {norm_name(norm)}. {' '.join(lines)}"


def _classes(summary: dict[str, Any]) -> dict[str, Any]:
    rows = class_rows(summary)
    shown, num_left_out = worst_and_best(rows)
    point = class_point(summary)
    return {
        "num_classes": len(rows),
        "num_left_out": num_left_out,
        "gap_after": len(shown) // 2,
        "change_words": change_words(point, of_rows=of_rows(summary)) if point else "",
        "point_words": point_words(point, of_rows=of_rows(summary)),
        "rows": [
            {
                "name": row.name,
                "num_images": row.clean[0]["num_images"],
                "models": [
                    {
                        "index": index % len(style.SERIES),
                        "name": clean["model"],
                        "clean": _score(clean),
                        "adversarial": _score(row.adversarial[index]) if row.adversarial else None,
                    }
                    for index, clean in enumerate(row.clean)
                ],
            }
            for row in shown
        ],
    }


def _training(summary: dict[str, Any], output: Path) -> Markup | None:
    histories = read_histories(output, summary)
    if not histories:
        return None
    title = "Accuracy on the training pictures and on held-out ones, by epoch, of " + ", ".join(histories)
    with style.house_style():
        figure = training_figure(summary, histories, has_legend=False)
        return Markup(style.to_svg(figure, name="training", title=title))  # noqa: S704


def _tables(summary: dict[str, Any]) -> list[dict[str, Any]]:
    tables = []
    for attack, norm in curves(summary):
        epsilons = sorted({row["epsilon"] for row in summary["adversarial"] if row["norm"] == norm})
        settings = [
            {
                "epsilon": f"{epsilon:.3g}",
                "in_255ths": f"{255 * epsilon:.3g}/255" if norm == "linf" and not of_rows(summary) else "",
                "rows": [_table_row(summary, row) for row in rows_at(summary, Point(attack, norm, epsilon))],
            }
            for epsilon in epsilons
            if epsilon > 0
        ]
        as_they_are = {
            "epsilon": "0",
            "in_255ths": "as they are",
            "rows": [_clean_row(summary, row) for row in summary["clean"]],
        }
        name = f"{attack.upper()} in {norm_name(norm)}"
        tables.append({"name": name, "settings": [as_they_are, *settings]})
    return tables


def _clean_row(summary: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    return {
        "index": model_names(summary).index(row["model"]) % len(style.SERIES),
        "name": row["model"],
        "score": _score(row),
        "score_8bit": None,
        "num_success": DASH,
        "mean_l2": DASH,
        "mean_steps": DASH,
    }


def _table_row(summary: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    return {
        "index": model_names(summary).index(row["model"]) % len(style.SERIES),
        "name": row["model"],
        "score": _score(row),
        "score_8bit": _score(row, suffix="_8bit"),
        "num_success": row["num_success"],
        "mean_l2": DASH if row["mean_l2"] is None else f"{row['mean_l2']:.3g}",
        "mean_steps": DASH if row["mean_steps"] is None else f"{row['mean_steps']:.1f}",
    }


def _comparisons(summary: dict[str, Any], output: Path, point: Point | None) -> list[dict[str, Any]]:
    if len(summary["models"]) < 2:
        return []
    results = read_results(output)
    if "least_epsilon" in summary:
        # The rows of a search end at an epsilon that may be one of the others.
        results = results[results["epsilon_high"].isna()]
    found = []
    for setting in [None, point] if point else [None]:
        for comparison in compare_models(results, setting):
            p_value = comparison.p_value
            found.append(
                comparison._asdict()
                | {"setting": point_words(setting, of_rows=of_rows(summary)) or "as they are"}
                | {"p_words": f"<{SPACE}0.001" if p_value < 0.001 else f"{p_value:.3f}"}
            )
    return found


def _facts(summary: dict[str, Any]) -> list[tuple[str, str]]:
    data, protocol = summary["data"], summary["protocol"]
    shape = f" {TIMES} ".join(map(str, data["image_shape"] or ()))
    if of_rows(summary):
        shape = f"{data['input_shape'][0]} attributes, of which {len(data['moved'])} were moved"
    facts = [
        (
            "Rows" if of_rows(summary) else "Pictures",
            f"{data['num_images']} of the split “{data['split']}”, {shape}, "
            f"{len(data['class_names'])} classes",
        ),
        ("Records", f"{data['path']} ({data['kind']})"),
        ("Data fingerprint", data["fingerprint"]),
        ("Success counts at", protocol["judged_words"]),
    ]
    for attack in protocol["attacks"]:
        start = "a random start" if attack["has_random_start"] else "no random start"
        words = f"{attack['steps']} steps of {attack['relative_step']:.3g} {TIMES} ε each, {start} "
        words += "" if of_rows(summary) else f"(as Foolbox's {attack['foolbox_class']})"
        facts.append((f"{attack['attack'].upper()}, {norm_name(attack['norm'])}", words))
    facts.append(("Seed", str(summary["settings"]["seed"])))
    facts.append(("Time", f"{_duration(summary['seconds'])} on a {summary['device']}"))
    return facts


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
