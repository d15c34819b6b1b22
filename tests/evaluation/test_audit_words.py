"""The audit in the report: what fails first, in words, and nothing where there was none."""

import html
import json
import re

import pytest

from bioattack.evaluation.audit_words import audit_content, audit_sentence, figure_words
from bioattack.evaluation.report import write_report
from bioattack.testing.made_up_evaluation import MadeUpEvaluation, MadeUpModel, write_evaluation

SMALL = {"num_images": 60, "linf": (0.01,), "l2": (), "num_examples": 0}


def _entry(key, verdict, **how):
    entry = {"key": key, "title": f"Title of {key}", "verdict": verdict, "sentence": f"It is {key}."}
    return entry | {"num_images": 60, "figures": {}} | how


def _body(page):
    return page.split("</style>", 1)[1]


def _write(output, audits, *, models=("m",)):
    made_up = MadeUpEvaluation(models=tuple(map(MadeUpModel, models)), **SMALL)
    write_evaluation(output, made_up)
    path = output / "summary.json"
    summary = json.loads(path.read_text()) | ({"audit": {"models": audits}} if audits else {})
    path.write_text(json.dumps(summary))
    page = write_report(output).read_text()
    return page, " ".join(html.unescape(re.sub("<[^>]+>", " ", _body(page))).split())


@pytest.fixture
def audits():
    return [
        {
            "model": "m",
            "num_failed": 1,
            "checks": [
                _entry("first", "does not hold", figures={"num_left": {"one <step>": 3}, "p_value": 0.00123}),
                _entry("second", "not applicable", num_images=0),
                _entry("third", "holds"),
            ],
        }
    ]


def test_every_check_is_shown_in_words(audits, tmp_path):
    page, text = _write(tmp_path, audits)
    assert "m: One check does not hold; one holds; one cannot be told." in text
    measured = "measured num left: one <step> 3 p value 0.00123"
    assert f"Title of first does not hold It is first. {measured} 60" in text
    assert "Title of second not applicable It is second. 0" in text
    assert "Title of third holds It is third. 60" in text
    assert text.index("Title of first") < text.index("Title of second") < text.index("Title of third")
    assert "--audit" in text
    assert page.count("<details>") == page.count("</details>") == 1


def test_what_fails_stands_among_the_caveats(audits, tmp_path):
    _, text = _write(tmp_path, audits)
    assert "Of the audit's checks one does not hold for m: its accuracies" in text
    audits[0] |= {"num_failed": 0, "checks": audits[0]["checks"][1:]}
    _, text = _write(tmp_path / "sound", audits)
    assert "Of the audit's checks" not in text


def test_several_models_stand_one_after_the_other(audits, tmp_path):
    second = {"model": "other", "num_failed": 0, "checks": [_entry("third", "holds")]}
    page, text = _write(tmp_path, [*audits, second], models=("m", "other"))
    assert "other: One check holds." in text
    assert len(re.findall(r"id=\"audit-\d\"", page)) == 2


def test_without_an_audit_there_is_no_word_of_it(tmp_path):
    page, _ = _write(tmp_path, [])
    assert "audit" not in _body(page)
    assert audit_content({}) == []


def test_words_for_counts_and_figures():
    entries = [{"verdict": "does not hold"}] * 2 + [{"verdict": "holds"}] * 11
    assert audit_sentence({"checks": entries}) == "Two checks do not hold; 11 hold."
    assert audit_sentence({"checks": []}) == ""
    assert figure_words({"epsilon": 1 / 255, "steps": [1, 20], "best": None}) == [
        "epsilon 0.00392",
        "steps: 1, 20",
        "best none",
    ]
