"""The figures hold what was found, whatever the sample looks like."""

import numpy as np
import pytest
from PIL import Image

from bioattack.evaluation import figure_style as style
from bioattack.evaluation.income import answer_income
from bioattack.evaluation.income_config import IncomeConfig
from bioattack.evaluation.income_figures import (
    accuracy_figure,
    images_figure,
    slopes_figure,
    write_income_figures,
)
from bioattack.testing.made_up_countries import PLACES, write_country_table

NAMES = ("ours", "théirs $x_")


@pytest.fixture(scope="module")
def two_sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    files = [
        write_country_table(
            folder / f"{place}.csv",
            slope=0.01 * place,
            models=[f"m{index}" for index in range(5)],
            seed=place,
        )
        for place in (0, 1)
    ]
    start = write_country_table(folder / "start.csv", slope=0.012, seed=7)
    return answer_income(
        IncomeConfig(
            (files[0],), folder, against=(files[1],), pretrained=start, set_names=NAMES, simulations=0
        )
    )


def _answer(folder, *, lines=None, **options):
    path = folder / "table.csv"
    if lines:
        path.write_text("\n".join(["country,accuracy,n,gdp", *lines]) + "\n")
    else:
        write_country_table(path, slope=0.01)
    return answer_income(IncomeConfig((path,), folder, simulations=0, **options))


@pytest.mark.parametrize(("logarithm", "log"), [("natural", np.log), ("base10", np.log10)])
def test_scatter_holds_the_countries_and_the_line(tmp_path, logarithm, log):
    answer = _answer(tmp_path, logarithm=logarithm)
    (row,) = answer.summary["regressions"]
    with style.house_style():
        figure = accuracy_figure(answer, row["model"])
    axes = figure.axes[0]
    table = answer.sample.countries_of(row["model"])
    points = axes.collections[-1].get_offsets()
    assert np.asarray(points) == pytest.approx(
        np.column_stack([log(table["gdp_per_capita"]), 100 * table["accuracy"]])
    )
    assert np.asarray(axes.collections[-1].get_array()) == pytest.approx(table["num_images"].to_numpy())
    x, y = (np.asarray(values, float) for values in axes.lines[0].get_data())
    assert y == pytest.approx(100 * (row["intercept"] + row["slope"] * x))
    assert {"natural": "ln of", "base10": "log10 of"}[logarithm] in axes.get_xlabel()


def test_boxes_hold_the_slopes_and_the_line_is_the_pretrained_model(two_sets):
    summary = two_sets.summary
    with style.house_style():
        axes = slopes_figure(summary).axes[0]
    for place, name in enumerate(NAMES):
        slopes = [row["slope"] for row in summary["regressions"] if row["set"] == name]
        (points,) = (
            collection
            for collection in axes.collections
            if round(float(collection.get_offsets()[0][0])) == place
        )
        assert np.asarray(points.get_offsets())[:, 1] == pytest.approx(slopes)
    (start,) = (row["slope"] for row in summary["regressions"] if row["set"] == "pretrained")
    heights = [np.asarray(line.get_ydata(), float) for line in axes.lines]
    assert any(len(height) == 2 and height == pytest.approx([start, start]) for height in heights)


def test_bars_are_the_numbers_of_images(tmp_path):
    answer = _answer(tmp_path)
    table = answer.sample.countries_of("table")
    with style.house_style():
        axes = images_figure(table).axes[0]
    widths = [bar.get_width() for bar in axes.patches]
    assert widths == sorted(table["num_images"], reverse=True)


def test_many_countries_share_a_bar(tmp_path):
    lines = [f"place {index},{0.5 + index / 200},{index + 1},{100 + index}" for index in range(60)]
    answer = _answer(tmp_path, lines=lines)
    with style.house_style():
        axes = images_figure(answer.sample.countries_of("table")).axes[0]
    assert len(axes.patches) == 51
    assert axes.patches[-1].get_width() == sum(range(1, 11))


CASES = {
    "three countries": ["a,0.5,9,1000", "b,0.7,9,1001", "c,0.6,9,1002"],
    "on one line": ["a,0.2,9,100", "b,0.4,9,1000", "c,0.6,9,10000"],
    "one image each": ["a,0,1,100", "b,1,1,1000", "c,1,1,100000"],
    "odd names": ["猫,0.2,9,100", "$x_,0.4,900000,1000", f"{'long ' * 20},0.5,1,10000"],
    "extremes": ["a,0,5,0.01", "b,1,5000000,1e9", "c,0,3,40"],
}


@pytest.mark.parametrize("case", CASES)
def test_every_sample_can_be_drawn(tmp_path, case):
    answer = _answer(tmp_path, lines=CASES[case])
    written = write_income_figures(tmp_path, answer)
    assert [path.name for path in written] == ["accuracy-1.png", "images-per-country.png"]
    for path in written:
        with Image.open(path) as image:
            image.load()
            assert image.width >= 400
        assert path.stat().st_size <= 150_000


def test_the_same_answer_gives_the_same_bytes(tmp_path, two_sets):
    contents = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        written = write_income_figures(tmp_path / name, two_sets)
        contents.append([path.read_bytes() for path in written])
    assert contents[0] == contents[1]
    assert len(contents[0]) == 3
    assert len(PLACES) == len(two_sets.sample.countries_of("start"))
