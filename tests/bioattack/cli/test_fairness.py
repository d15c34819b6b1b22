"""bioattack-fairness from the outside: output, exit codes, and what it imports."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bioattack.cli.fairness import main
from bioattack.testing.made_up_countries import PLACES, write_country_table

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def table(tmp_path):
    return write_country_table(tmp_path / "table.csv", slope=0.012, num_images=300)


def _run(capsys, *words):
    code = main([str(word) for word in ("income", *words, "--simulations", "20")])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def _fails(capsys, *words):
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    captured = capsys.readouterr()
    assert stop.value.code == 2
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


def test_words_for_people(capsys, table, tmp_path):
    code, out, _ = _run(capsys, "--results", table, "--output", tmp_path / "out")
    assert code == 0
    assert "Accuracy rises with income" in out
    assert "14 countries" in out
    assert (tmp_path / "out" / "report.html").is_file()


def test_json_on_standard_output(capsys, table, tmp_path):
    code, out, _ = _run(capsys, "--results", table, "--output", tmp_path / "out", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["regressions"][0]["p_value"] < 0.05
    assert found["was_complete"] is False
    assert json.loads(_run(capsys, "--results", table, "--output", tmp_path / "out", "--json")[1])[
        "was_complete"
    ]


def test_dry_run_writes_nothing(capsys, table, tmp_path):
    code, out, _ = _run(capsys, "--results", table, "--output", tmp_path / "out", "--dry-run")
    assert code == 0
    assert out.startswith("would regress accuracy on income: 14 countries")
    assert not (tmp_path / "out").exists()


def test_notes_go_to_standard_error_and_can_be_hushed(capsys, tmp_path):
    path = write_country_table(tmp_path / "t.csv", places=(*PLACES, "Atlantis"), slope=0.01)
    words = ("--results", path, "--output", tmp_path / "out")
    assert "Atlantis" in _run(capsys, *words)[2]
    assert _run(capsys, *words, "--quiet")[2] == ""


def test_overwrite_is_asked_for(capsys, table, tmp_path):
    words = ["income", "--results", table, "--output", tmp_path / "out", "--simulations", "0"]
    assert main([str(word) for word in words]) == 0
    capsys.readouterr()
    other = [*words, "--covariance", "binomial"]
    assert "holds the answer for other tables or settings" in _fails(capsys, *other)
    assert main([str(word) for word in (*other, "--overwrite")]) == 0


def test_results_tables_of_evaluations(capsys, tmp_path):
    header = "image_id,model,attack,norm,epsilon,correct_clean,success,country"
    rows = [
        f"{place}-{index},m,none,none,0.0,{(index * 7 + place) % (place + 3) > 0},False,{country}"
        for place, country in enumerate(PLACES)
        for index in range(20)
    ]
    (tmp_path / "results.csv.gz").write_bytes(gzip.compress("\n".join([header, *rows]).encode()))
    code, out, _ = _run(capsys, "--results", tmp_path, "--output", tmp_path / "out", "--json")
    assert code == 0
    assert json.loads(out)["data"]["num_images"] == 280
    error = _fails(capsys, "income", "--results", tmp_path, "--output", tmp_path / "o", "--column", "nation")
    assert "no column 'nation'" in error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give a question first: income, classes, groups. Received: ''"),
        (("wealth",), "Received: 'wealth'"),
        (("income", "--output", "x"), "--results is required"),
        (("income", "--results", "no.csv", "--output", "x"), "there is no table no.csv"),
        (("income", "--results", "no.csv", "--output", "x", "--minimum-images", "0"), "must be at least 1"),
        (("income", "--results", "a", "--results", "a", "--output", "x"), "a is given twice"),
        (("income", "--results", "a", "--output", "x", "--covariance", "round"), "covariance"),
        (("income", "--results", "a", "--output", "x", "--find-difference", "-1"), "above 0"),
    ],
)
def test_bad_usage_is_one_sentence(capsys, words, message):
    assert message in _fails(capsys, *words)


def test_bad_gdp_table_is_one_sentence(capsys, table, tmp_path):
    gdp = tmp_path / "gdp.csv"
    gdp.write_text("a,b\n1,2\n")
    error = _fails(capsys, "income", "--results", table, "--gdp", gdp, "--output", tmp_path / "out")
    assert "the GDP table" in error


def _python(code):
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("words", [["--help"], ["income", "--help"]])
def test_help_answers_without_pandas(words):
    code = (
        "import sys; from bioattack.cli.fairness import main\n"
        f"try: main({words!r})\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "heavy = {'pandas', 'numpy', 'tensorflow', 'statsmodels', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    out = _python(code)
    assert "example: bioattack-fairness income" in out


def test_no_tensorflow_is_needed(table, tmp_path):
    words = ["income", "--results", str(table), "--output", str(tmp_path / "out"), "--simulations", "0"]
    code = (
        "import sys; from bioattack.cli.fairness import main\n"
        f"assert main({words!r}) == 0\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules\n"
    )
    _python(code)
