"""The folder, the figures and the page of classes and groups: whole, self-contained, only their own."""

import json
import re

import pandas as pd
import pytest
from PIL import Image

from bioattack.errors import InputError
from bioattack.evaluation.answer_folder import check_answer_folder
from bioattack.evaluation.scores import answer_scores
from bioattack.evaluation.scores_config import GroupsConfig
from bioattack.evaluation.scores_figures import MAX_GROUPS, bar_figure, figure_list
from bioattack.evaluation.scores_output import write_scores
from bioattack.testing.made_up_scores import MadeUpScores, write_results

ODD = '<script>alert("x")</script>'


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """Two models, with a group whose name is markup."""
    folder = tmp_path_factory.mktemp("report")
    made_up = MadeUpScores(models=("a&b", "robust"), groups=("White", "Black", ODD))
    write_results(folder / "results.csv.gz", made_up)
    config = GroupsConfig(results=(folder,), output=folder / "out", column="race", draws=200)
    summary = answer_scores(config)
    write_scores(config.output, summary)
    return config, summary


def test_folder_holds_what_is_promised(answered):
    config, summary = answered
    output = config.output
    assert sorted(path.name for path in output.iterdir()) == [
        "figures",
        "report.html",
        "summary.json",
        "tables",
    ]
    assert sorted(path.name for path in (output / "tables").iterdir()) == [
        "accuracies.csv",
        "by_group.csv",
        "differences.csv",
        "scores.csv",
    ]
    written = json.loads((output / "summary.json").read_text())
    assert {"pandas", "scipy", "bioattack"} <= set(written["versions"])
    table = pd.read_csv(output / "tables" / "scores.csv")
    assert table["value"].tolist() == pytest.approx([row["value"] for row in summary["scores"]])
    assert table["p_holm"].between(0, 1).all()


def test_figures_are_those_of_the_paper(answered):
    config, summary = answered
    names = [entry["name"] for entry in figure_list(summary)]
    assert names == sorted(path.name for path in (config.output / "figures").iterdir())
    kinds = [entry["figure"].split(" ", maxsplit=1)[0] for entry in figure_list(summary)]
    assert kinds.count("success_rate") == 1
    assert kinds.count("accuracy") == 3
    assert kinds.count("least_epsilon") == 1
    assert kinds.count("confidence") == 4
    for name in names:
        with Image.open(config.output / "figures" / name) as image:
            assert image.width > 700


def test_figure_shows_every_model_and_interval(answered):
    _, summary = answered
    entry = next(entry for entry in figure_list(summary) if entry["figure"] == "success_rate")
    figure = bar_figure(summary, entry)
    axes = figure.axes[0]
    rows = [row for row in summary["by_group"] if row["figure"] == "success_rate" and row["model"] == "a&b"]
    first = sorted(100 * row["value"] for row in rows if row["epsilon"] == 0.01)
    assert sorted(bar.get_width() for bar in axes.containers[0].patches) == pytest.approx(first)
    assert len(axes.patches) == 2 * 2 * 3
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["a&b, ε = 0.01", "a&b, ε = 0.02", "robust, ε = 0.01", "robust, ε = 0.02"]


def test_many_groups_are_shown_by_their_ends(answered):
    _, summary = answered
    rows = [
        {**summary["by_group"][0], "group": f"g{number}", "value": number / 60, "low": 0.0, "high": 1.0}
        for number in range(60)
    ]
    many = {**summary, "by_group": rows, "models": ["a&b"]}
    many["data"] = {**summary["data"], "groups": {row["group"]: 9 for row in rows}}
    (entry,) = figure_list(many)
    axes = bar_figure(many, entry).axes[0]
    assert len(axes.patches) == MAX_GROUPS
    assert [label.get_text() for label in axes.get_yticklabels()][-1] == "g59"


def test_page_stands_alone_and_escapes_names(answered):
    config, summary = answered
    page = (config.output / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.findall(r'(?:src|href)="(?!data:image/png;base64,|#)', page)
    assert page.count("<img ") == len(figure_list(summary))
    assert "bioattack-fairness groups --results" in page
    assert "Chernozhukov" in page


def test_same_answer_same_bytes(answered, tmp_path):
    config, summary = answered
    write_scores(tmp_path / "again", summary)
    for path in config.output.rglob("*"):
        if path.is_file():
            assert (tmp_path / "again" / path.relative_to(config.output)).read_bytes() == path.read_bytes()


def test_folder_of_another_question_is_refused(answered, tmp_path):
    config, summary = answered
    assert check_answer_folder(config.output, kind="groups", identity=summary["identity"])
    with pytest.raises(InputError, match="holds no answer of bioattack-fairness classes"):
        check_answer_folder(config.output, kind="classes")
    with pytest.raises(InputError, match="holds the answer for other tables or settings"):
        check_answer_folder(config.output, kind="groups", identity="another")
    assert not check_answer_folder(config.output, kind="groups", identity="another", overwrite=True)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is not a folder"):
        check_answer_folder(tmp_path / "file", kind="groups")
    assert not check_answer_folder(tmp_path / "new", kind="groups")
