"""bioattack-fairness classes and groups from the outside: output, exit codes, and what they import."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bioattack.cli.fairness import main
from bioattack.testing.made_up_scores import write_results

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    write_results(folder / "results.csv.gz")
    return folder


def _run(capsys, *words):
    code = main([str(word) for word in (*words, "--draws", "200")])
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


def test_words_for_people(capsys, results, tmp_path):
    code, out, notes = _run(capsys, "classes", "--results", results, "--output", tmp_path / "out")
    assert code == 0
    assert out.startswith("Accuracy of standard")
    for word in ("CAU", "CRU_s", "CRU_s (of all)", "CRU_eps", "worst-class accuracy", "robust less standard"):
        assert word in out
    assert "McNemar" in out
    assert "note: " in notes
    assert (tmp_path / "out" / "report.html").is_file()


def test_json_and_a_second_run(capsys, results, tmp_path):
    words = (
        "groups",
        "--results",
        results,
        "--column",
        "race",
        "--output",
        tmp_path / "out",
        "--attack",
        "pgd",
    )
    words = (*words, "--norm", "linf", "--epsilon", "0.02", "--json", "--quiet")
    code, out, err = _run(capsys, *words)
    found = json.loads(out)
    assert (code, err, found["was_complete"]) == (0, "", False)
    assert {row["name"] for row in found["scores"]} >= {"equalised odds difference", "EOU(1 | 1)"}
    written = (tmp_path / "out" / "summary.json").stat().st_mtime_ns
    assert json.loads(_run(capsys, *words)[1])["was_complete"]
    assert (tmp_path / "out" / "summary.json").stat().st_mtime_ns == written


def test_dry_run_writes_nothing(capsys, results, tmp_path):
    words = ("classes", "--results", results, "--output", tmp_path / "out", "--dry-run")
    code, out, _ = _run(capsys, *words)
    assert code == 0
    assert "would score 2 models between the 4 values of label" in out
    assert "robust: 400 images, 3 settings of attacks" in out
    assert not (tmp_path / "out").exists()
    assert json.loads(_run(capsys, *words, "--json")[1])["num_groups"] == 4


def test_overwrite_is_asked_for(capsys, results, tmp_path):
    words = ("classes", "--results", results, "--attack", "pgd", "--epsilon", "0.01")
    words = (*words, "--output", tmp_path / "out")
    assert _run(capsys, *words)[0] == 0
    assert "holds the answer for other tables or settings" in _fails(capsys, *words, "--seed", "1")
    assert _run(capsys, *words, "--seed", "1", "--overwrite")[0] == 0
    words = ("groups", "--results", results, "--column", "race", "--output", tmp_path / "out")
    assert "holds no answer of bioattack-fairness groups" in _fails(capsys, *words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("classes", "--output", "x"), "--results is required"),
        (("groups", "--results", "a", "--output", "x"), "--column is required"),
        (("groups", "--results", "a", "--output", "x", "--column", "label"), "bioattack-fairness classes"),
        (("classes", "--results", "no.csv", "--output", "x"), "there is no table no.csv"),
        (("classes", "--results", "a", "--results", "a", "--output", "x"), "is given twice"),
        (("classes", "--results", "a", "--output", "x", "--interval", "wald"), "interval"),
        (("classes", "--results", "a", "--output", "x", "--column", "race"), "column"),
    ],
)
def test_bad_usage_is_one_sentence(capsys, words, message):
    assert message in _fails(capsys, *words)


def test_missing_column_is_one_sentence(capsys, results, tmp_path):
    words = ("groups", "--results", results, "--output", tmp_path / "out", "--column", "sex")
    assert "has no column 'sex'" in _fails(capsys, *words)
    assert not (tmp_path / "out").exists()


def _python(code):
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("question", ["classes", "groups"])
def test_help_answers_without_pandas(question):
    out = _python(
        "import sys; from bioattack.cli.fairness import main\n"
        f"try: main([{question!r}, '--help'])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "heavy = {'pandas', 'numpy', 'tensorflow', 'statsmodels', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    assert f"example: bioattack-fairness {question}" in out
    assert "--minimum-count" in out


def test_no_tensorflow_is_needed(results, tmp_path):
    words = ["classes", "--results", str(results), "--output", str(tmp_path / "out"), "--draws", "100"]
    _python(
        "import sys; from bioattack.cli.fairness import main\n"
        f"assert main({words!r}) == 0\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules\n"
    )
