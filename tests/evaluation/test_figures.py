import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from bioattack.evaluation import figure_style as style
from bioattack.evaluation.figures import (
    chosen_examples,
    class_rows,
    epsilon_positions,
    examples_figure,
    robustness_figure,
    training_figure,
    worst_and_best,
    write_figures,
)
from bioattack.evaluation.results import read_examples, read_summary
from bioattack.testing.made_up_evaluation import MadeUpEvaluation, MadeUpModel, write_evaluation

ALL_FIGURES = [
    "classes.png",
    "examples.png",
    "robustness-pgd-l2.png",
    "robustness-pgd-linf.png",
    "training.png",
]
ODD_NAMES = ("<b>&\"'", "$a_b$", "猫", "🐝", "x" * 90, "line\nbreak", "\\frac", "é", "%d", "jar")


def _models(number: int) -> tuple[MadeUpModel, ...]:
    return tuple(
        MadeUpModel(f"model {'long ' * index}{index}", clean=0.9 - 0.05 * index, strength=0.002 * 2**index)
        for index in range(number)
    )


def _lines(figure: object) -> list[list[tuple[float, float]]]:
    """Returns the points of each marked line of a figure's only axes."""
    (axes,) = figure.axes  # type: ignore[attr-defined]
    marked = [line for line in axes.lines if line.get_marker() not in (None, "None", "")]
    return [list(zip(line.get_xdata(), line.get_ydata(), strict=True)) for line in marked]


def _several(number: int) -> MadeUpEvaluation:
    epsilons = {"linf": (0.005, 0.02), "l2": (0.5,)}
    return MadeUpEvaluation(models=_models(number), num_images=40, num_examples=1, image_size=16, **epsilons)


CASES = {
    "one model": (MadeUpEvaluation(), ALL_FIGURES),
    "five models": (_several(5), ALL_FIGURES),
    "seven models": (_several(7), ALL_FIGURES),
    "one epsilon": (MadeUpEvaluation(linf=(0.01,), l2=()), [*ALL_FIGURES[:2], *ALL_FIGURES[3:]]),
    "epsilon 0 alone": (
        MadeUpEvaluation(linf=(0.0,), l2=()),
        ["classes.png", "robustness-pgd-linf.png", "training.png"],
    ),
    "no attack": (MadeUpEvaluation(linf=(), l2=()), ["classes.png", "training.png"]),
    "no examples": (
        MadeUpEvaluation(num_examples=0),
        [name for name in ALL_FIGURES if "examples" not in name],
    ),
    "no card": (
        MadeUpEvaluation(models=(MadeUpModel("foreign", has_card=False),)),
        [name for name in ALL_FIGURES if "training" not in name],
    ),
    "odd names": (
        MadeUpEvaluation(
            models=(MadeUpModel("模型 $x_"), MadeUpModel("b")), class_names=ODD_NAMES, num_images=50
        ),
        ALL_FIGURES,
    ),
    "nothing right": (
        MadeUpEvaluation(models=(MadeUpModel("m", clean=0.0),)),
        ALL_FIGURES[:1] + ALL_FIGURES[2:],
    ),
    "one image": (MadeUpEvaluation(num_images=1, models=(MadeUpModel("m", clean=1.0),)), ALL_FIGURES),
    "large pictures": (MadeUpEvaluation(image_size=224, linf=(0.01,), l2=(1.0,)), ALL_FIGURES),
}


@pytest.mark.parametrize("case", CASES)
def test_every_outcome_can_be_drawn(case: str, tmp_path: Path) -> None:
    made_up, expected = CASES[case]
    write_evaluation(tmp_path, made_up)
    written = write_figures(tmp_path)
    assert sorted(path.name for path in written) == expected
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == expected
    for path in written:
        assert path.stat().st_size <= 150_000
        with Image.open(path) as image:
            image.load()
            assert image.width >= 400
            assert "Software" not in image.info


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    contents = []
    for name in ("first", "second"):
        write_evaluation(tmp_path / name, _several(2))
        contents.append([path.read_bytes() for path in write_figures(tmp_path / name)])
    assert contents[0] == contents[1]


def test_curve_holds_the_measured_accuracies(tmp_path: Path) -> None:
    table = write_evaluation(tmp_path)
    with style.house_style():
        figure = robustness_figure(read_summary(tmp_path), attack="pgd", norm="linf")
    (line,) = _lines(figure)
    rows = table[table.norm.isin(["linf", "none"])]
    expected = (rows.correct_clean & ~rows.success).groupby(rows.epsilon).mean()
    assert [y for _, y in line] == pytest.approx(list(100 * expected))
    assert [x for x, _ in line][1:] == pytest.approx(np.log10(expected.index[1:]))


def test_curve_says_how_success_was_judged(tmp_path: Path) -> None:
    write_evaluation(tmp_path)
    summary = read_summary(tmp_path)
    summary["protocol"]["judged"] = "last"
    with style.house_style():
        figure = robustness_figure(summary, attack="pgd", norm="linf")
    assert "PGD, 20 steps, the last iterate counts" in {text.get_text() for text in figure.axes[0].texts}


def test_epsilon_0_has_a_place_left_of_the_logarithmic_axis() -> None:
    positions = epsilon_positions({0.0, 0.001, 0.01, 0.1})
    assert positions[0.0] < positions[0.001]
    assert positions[0.01] - positions[0.001] == pytest.approx(positions[0.1] - positions[0.01])
    assert epsilon_positions({0.0}) == {0.0: 0.0}


def test_labels_of_many_epsilons_do_not_run_into_one_another(tmp_path: Path) -> None:
    write_evaluation(
        tmp_path, MadeUpEvaluation(linf=tuple(np.geomspace(0.001, 0.5, 25)), l2=(), num_examples=0)
    )
    with style.house_style():
        figure = robustness_figure(read_summary(tmp_path), attack="pgd", norm="linf")
        FigureCanvasAgg(figure).draw()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_xticklabels() if label.get_text()]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_classes_are_ranked_and_the_middle_of_many_is_left_out(tmp_path: Path) -> None:
    names = tuple(f"class number {number}" for number in range(1000))
    made_up = MadeUpEvaluation(class_names=names, num_images=2000, linf=(0.004,), l2=(), num_examples=0)
    table = write_evaluation(tmp_path, made_up)
    rows = class_rows(read_summary(tmp_path))
    attacked = table[table.norm == "linf"]
    expected = (attacked.correct_clean & ~attacked.success).groupby(attacked.label).mean()
    found = [row.adversarial[0]["accuracy"] for row in rows]
    assert found == sorted(found)
    assert {row.label: row.adversarial[0]["accuracy"] for row in rows} == dict(expected)
    shown, num_left_out = worst_and_best(rows)
    assert (len(shown), num_left_out) == (20, 980)
    assert shown[:10] == rows[:10]
    assert shown[-10:] == rows[-10:]
    assert {path.name for path in write_figures(tmp_path)} >= {"classes.png"}


def test_learning_curves_hold_the_history(tmp_path: Path) -> None:
    write_evaluation(tmp_path)
    history = [{"accuracy": 0.5, "val_accuracy": 0.4}, {"accuracy": 0.75, "val_accuracy": 0.5}]
    with style.house_style():
        figure = training_figure(read_summary(tmp_path), {"resnet18": history})
    assert _lines(figure) == [[(1, 40.0), (2, 50.0)]]


@pytest.mark.parametrize("content", ["epoch\n", "epoch,loss\n1,nan\n", ""])
def test_a_history_without_accuracies_is_not_drawn(content: str, tmp_path: Path) -> None:
    write_evaluation(tmp_path)
    (tmp_path / "models" / "model-0" / "history.csv").write_text(content)
    assert "training.png" not in {path.name for path in write_figures(tmp_path)}


def test_examples_are_chosen_at_the_headline_whether_or_not_they_succeeded(tmp_path: Path) -> None:
    write_evaluation(tmp_path, MadeUpEvaluation(models=_models(2)))
    summary, examples = read_summary(tmp_path), read_examples(tmp_path)
    chosen = chosen_examples(summary, examples)
    assert len(chosen) == len({(example["image_id"], example["model"]) for example in examples})
    assert len({(example["norm"], example["epsilon"]) for example in chosen}) == 1
    assert {example["success"] for example in chosen} == {True, False}


def test_example_pictures_are_drawn_as_they_were_saved(tmp_path: Path) -> None:
    write_evaluation(tmp_path)
    example = read_examples(tmp_path)[0]
    with style.house_style():
        figure = examples_figure([example], tmp_path / "examples")
    for axes, kind in zip(figure.axes, ("original", "difference", "adversarial"), strict=True):
        saved = np.asarray(Image.open(tmp_path / "examples" / example[kind]).convert("RGB"))
        np.testing.assert_array_equal(axes.images[0].get_array(), saved)
    # 0.001 fills half the range of the difference picture.
    assert figure.axes[1].get_title() == "difference × 500"  # noqa: RUF001


@pytest.mark.parametrize(
    ("name", "expected"),
    [("bee", "bee"), ("a\n b", "a b"), ("猫", "class 3"), ("x" * 40, "x" * 16 + "…" + "x" * 11)],
)
def test_names_are_brought_to_what_can_be_drawn(name: str, expected: str) -> None:
    assert style.printable(name, otherwise="class 3") == expected
    assert len(style.printable(name)) <= 28


def _luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize(("colours", "page"), [(style.SERIES, "#ffffff"), (style.SERIES_DARK, "#1c1f25")])
def test_colours_stand_out_from_the_page(colours: tuple[str, ...], page: str) -> None:
    for colour in colours:
        bright, dim = sorted([_luminance(colour), _luminance(page)], reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= 3


def test_figures_leave_the_users_settings_alone(tmp_path: Path) -> None:
    import matplotlib as mpl

    with mpl.rc_context({"font.size": 31.0}):
        write_evaluation(tmp_path, MadeUpEvaluation(num_examples=0))
        write_figures(tmp_path)
        assert mpl.rcParams["font.size"] == 31.0


def test_nothing_here_needs_tensorflow() -> None:
    code = (
        "import json, sys; import bioattack.evaluation.report; "
        "print(json.dumps([name for name in ('tensorflow', 'keras', 'foolbox') if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == []
