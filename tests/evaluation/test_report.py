import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from scipy.stats import binom
from statsmodels.stats.proportion import proportion_confint

from bioattack.evaluation.caveats import caveats
from bioattack.evaluation.findings import Point, class_point, headline, headline_point, percent, plain
from bioattack.evaluation.paired import compare_models
from bioattack.evaluation.report import command_line, write_report
from bioattack.evaluation.results import read_results, read_summary
from bioattack.testing.made_up_evaluation import MadeUpEvaluation, MadeUpModel, write_evaluation

ODD_NAMES = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=y>',
    "b&w",
    "{{ 7 * 7 }}",
    "猫",
    "🐝",
    "x" * 90,
    "é",
    "'",
    "jar",
)
TWO = (MadeUpModel("standard"), MadeUpModel("fixations", clean=0.82, strength=0.02))
FIVE = tuple(MadeUpModel(f"model {i}", clean=0.9 - 0.05 * i, strength=0.002 * 2**i) for i in range(5))
SMALL = {"num_images": 40, "num_examples": 2, "image_size": 16, "linf": (0.005, 0.02), "l2": (0.5,)}

CASES = {
    "one model": MadeUpEvaluation(),
    "two models": MadeUpEvaluation(models=TWO, **SMALL),
    "five models": MadeUpEvaluation(models=FIVE, **SMALL),
    "seven models": MadeUpEvaluation(models=tuple(MadeUpModel(f"m{i}") for i in range(7)), **SMALL),
    "one epsilon": MadeUpEvaluation(linf=(0.01,), l2=()),
    "epsilon 0 alone": MadeUpEvaluation(linf=(0.0,), l2=()),
    "no attack": MadeUpEvaluation(linf=(), l2=(), num_examples=0),
    "L2 alone": MadeUpEvaluation(linf=(), num_images=40),
    "no examples": MadeUpEvaluation(num_examples=0),
    "no card": MadeUpEvaluation(models=(MadeUpModel("foreign", has_card=False),)),
    "odd names": MadeUpEvaluation(
        models=(MadeUpModel("<b>模型</b>"), MadeUpModel("b&c")), class_names=ODD_NAMES
    ),
    "nothing right": MadeUpEvaluation(models=(MadeUpModel("m", clean=0.0),)),
    "one image": MadeUpEvaluation(num_images=1, models=(MadeUpModel("m", clean=1.0),)),
    "1000 classes": MadeUpEvaluation(
        class_names=tuple(f"class {i}" for i in range(1000)),
        num_images=1000,
        linf=(0.004,),
        l2=(),
        num_examples=1,
    ),
}


class Page(HTMLParser):
    """Collects what a test asks about a page; fails on tags that do not match."""

    VOID = frozenset({"meta", "img", "br", "path", "use", "rect"})

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(self.source)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.text += data

    def values(self, tag: str, attribute: str) -> list[str]:
        return [attributes.get(attribute) or "" for name, attributes in self.tags if name == tag]


@pytest.fixture
def report(tmp_path: Path) -> tuple[pd.DataFrame, Page]:
    table = write_evaluation(tmp_path)
    return table, Page(write_report(tmp_path))


@pytest.mark.parametrize("case", CASES)
def test_every_outcome_is_a_whole_page_of_its_own(case: str, tmp_path: Path) -> None:
    write_evaluation(tmp_path, CASES[case])
    page = Page(write_report(tmp_path))
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in page.tags}
    assert all(source.startswith("data:image/png;base64,") for source in page.values("img", "src"))
    assert all(page.values("img", "alt"))
    assert all(label for label in page.values("svg", "aria-label"))
    assert "@import" not in page.source
    for address in re.findall(r"(?:src|href|action|srcset)=\"([^\"]*)\"|url\(([^)]*)\)", page.source):
        assert "".join(address).startswith(("data:image/png;base64,", "#"))
    identities = [identity for _, attributes in page.tags if (identity := attributes.get("id"))]
    assert len(identities) == len(set(identities))
    inner = re.findall(r"(?:href=\"#|url\(#)([^\")]+)", page.source)
    assert set(inner) <= set(identities)
    referred = [name for _, attributes in page.tags if (name := attributes.get("aria-labelledby"))]
    assert set(referred) <= set(identities)
    assert not [path for path in tmp_path.iterdir() if "partial" in path.name]
    assert "nan" not in page.text.lower().split()


def test_headline_holds_the_figures_of_the_table(report: tuple[pd.DataFrame, Page]) -> None:
    table, page = report
    clean = table[table.attack == "none"].correct_clean.mean()
    attacked = table[table.norm == "linf"]
    left = (attacked.correct_clean & ~attacked.success).groupby(attacked.epsilon).mean()
    # The smallest change that takes nine tenths of what was right.
    epsilon = min(left.index[left <= 0.1 * clean])
    expected = (
        f"This model gets {100 * clean:.0f} % of unseen pictures right. "
        f"Changing every pixel by at most {100 * epsilon:g} % of its range leaves "
        f"{100 * left[epsilon]:.0f} %."
    )
    (title,) = re.findall("<title>(.*?)</title>", page.source)
    assert title.replace("\u00a0", " ") == expected
    heading = re.findall("<h1>(.*?)</h1>", page.source, flags=re.DOTALL)[0]
    shown = " ".join(html.unescape(re.sub("<[^>]+>", "", heading)).replace("\u00a0", " ").split())
    assert shown == expected
    low, high = proportion_confint(round(200 * left[epsilon]), 200, method="wilson")
    assert f"{100 * left[epsilon]:.0f} % {100 * low:.0f} to {100 * high:.0f} %" in page.text.replace(
        "\u00a0", " "
    )


def _headline(tmp_path: Path, made_up: MadeUpEvaluation) -> str:
    write_evaluation(tmp_path, made_up)
    return " ".join(plain(sentence) for sentence in headline(read_summary(tmp_path))).replace("\u00a0", " ")


HEADLINES = {
    "robust": (
        MadeUpEvaluation(models=(MadeUpModel("m", clean=0.8, strength=50.0),)),
        "This model gets 80 % of unseen pictures right. "
        "Changing every pixel by at most 5 % of its range takes none of them away.",
    ),
    "falls entirely": (
        MadeUpEvaluation(models=(MadeUpModel("m", clean=0.8, strength=1e-9),)),
        "This model gets 80 % of unseen pictures right. "
        "Changing every pixel by at most 0.1 % of its range leaves none.",
    ),
    "all right": (
        MadeUpEvaluation(models=(MadeUpModel("m", clean=1.0, strength=50.0),), linf=(), l2=(0.5,)),
        "This model gets all of 200 unseen pictures right. "
        "Changing a picture by an L2 distance of at most 0.5 takes none of them away.",
    ),
    "nothing right": (
        MadeUpEvaluation(models=(MadeUpModel("m", clean=0.0),)),
        "This model gets none of 200 unseen pictures right.",
    ),
    "no attack": (MadeUpEvaluation(linf=(0.0,), l2=()), "This model gets 87 % of unseen pictures right."),
    "training split": (
        MadeUpEvaluation(linf=(), l2=(), split="train", num_examples=0),
        "This model gets 87 % of training pictures right.",
    ),
    "unknown origin": (
        MadeUpEvaluation(models=(MadeUpModel("m", has_card=False),), linf=(), l2=(), num_examples=0),
        "This model gets 87 % of test pictures right.",
    ),
    "two": (
        MadeUpEvaluation(
            models=(MadeUpModel("a", clean=0.8, strength=1e-9), MadeUpModel("b", clean=0.6, strength=50.0)),
            linf=(0.01,),
        ),
        "Of 200 unseen pictures, a gets 80 % and b 60 % right. "
        "Changing every pixel by at most 1 % of its range leaves a 0 % and b 60 %.",
    ),
    "three": (
        MadeUpEvaluation(
            models=tuple(
                MadeUpModel(n, clean=c, strength=50.0) for n, c in (("a", 0.8), ("b", 0.9), ("c", 0.7))
            ),
            linf=(0.01,),
        ),
        "Of 200 unseen pictures, the three models get between 70 % (c) and 90 % (b) right. "
        "Changing every pixel by at most 1 % of its range leaves between 70 % (c) and 90 % (b).",
    ),
    "three alike": (
        MadeUpEvaluation(models=tuple(MadeUpModel(n, clean=0.8, strength=1e-9) for n in "abc"), linf=(0.01,)),
        "Of 200 unseen pictures, the three models get 80 % right each. "
        "Changing every pixel by at most 1 % of its range leaves 0 % each.",
    ),
}


@pytest.mark.parametrize("case", HEADLINES)
def test_headline_is_true_of_any_outcome(case: str, tmp_path: Path) -> None:
    made_up, expected = HEADLINES[case]
    assert _headline(tmp_path, made_up) == expected


def test_half_left_is_said_to_be_still_left(tmp_path: Path) -> None:
    made_up = MadeUpEvaluation(models=(MadeUpModel("m", clean=0.8, strength=0.02),), linf=(0.01,), l2=())
    text = _headline(tmp_path, made_up)
    row = read_summary(tmp_path)["adversarial"][0]
    assert 0.5 <= row["accuracy"] / 0.8 < 1
    assert text.endswith(f"1 % of its range still leaves {100 * row['accuracy']:.0f} %.")


@pytest.mark.parametrize(
    ("count", "total", "expected"),
    [
        (0, 500, "0 %"),
        (500, 500, "100 %"),
        (1, 500, "0.2 %"),
        (499, 500, "99.8 %"),
        (435, 500, "87 %"),
        (9142, 10_000, "91.4 %"),
        (1, 10_000, "< 0.1 %"),
        (9_999, 10_000, "> 99.9 %"),
        (0, 0, "\u2013"),
    ],
)
def test_percentages_have_the_digits_that_the_images_support(count: int, total: int, expected: str) -> None:
    assert percent(count, total).replace("\u00a0", " ") == expected


def test_points_of_headline_and_classes(tmp_path: Path) -> None:
    write_evaluation(tmp_path)
    summary = read_summary(tmp_path)
    left = {row["epsilon"]: row["accuracy"] for row in summary["adversarial"] if row["norm"] == "linf"}
    clean = summary["clean"][0]["accuracy"]
    nearest = min(left, key=lambda epsilon: abs(left[epsilon] / clean - 0.5))
    assert class_point(summary) == Point("pgd", "linf", nearest)
    assert headline_point(summary) == Point("pgd", "linf", 0.02)
    assert left[0.01] > 0.1 * clean >= left[0.02]


def test_names_from_users_are_text_and_nothing_else(tmp_path: Path) -> None:
    note = "A note <i>with</i> {{ tags }}."
    models = (MadeUpModel("<b>模型</b>"), MadeUpModel('"quoted" & co'))
    write_evaluation(tmp_path, MadeUpEvaluation(models=models, class_names=ODD_NAMES, notes=(note,)))
    page = Page(write_report(tmp_path))
    assert not {"script", "i"} & {tag for tag, _ in page.tags}
    for name in [*ODD_NAMES, *(model.name for model in models), note]:
        assert name in page.text
    assert not [1 for _, attributes in page.tags if "onerror" in attributes]
    labels = " ".join(page.values("svg", "aria-label"))
    assert "<b>模型</b>: " in labels
    assert '"quoted" & co: ' in labels


def test_tables_hold_every_measurement(report: tuple[pd.DataFrame, Page]) -> None:
    table, page = report
    text = " ".join(page.text.replace("\u00a0", " ").split())
    for norm in ("linf", "l2"):
        for epsilon, rows in table[table.norm == norm].groupby("epsilon"):
            shares = []
            for success in (rows.success, rows.success_8bit):
                count = int((rows.correct_clean & ~success).sum())
                low, high = proportion_confint(count, len(rows), method="wilson")
                share = percent(count, len(rows)).replace("\u00a0", " ")
                shares.append(f"{share}{100 * low:.0f} to {abs(100 * high):.0f} %")
            fraction = f"{255 * epsilon:.3g}/255" if norm == "linf" else ""
            assert f"{epsilon:.3g}{fraction} {shares[0]} {shares[1]}" in text


def test_report_tells_how_it_was_measured(report: tuple[pd.DataFrame, Page]) -> None:
    _, page = report
    for words in (
        "5f" * 32,
        "any iterate (the paper's)",
        "20 steps of 0.333",
        "tensorflow\u00a02.21.0",
        "0123456789abcdef",
        "1 min 21 s on a CPU",
        "701,082",
    ):
        assert words in page.text
    assert "--epsilons 0.001 0.002 0.005 0.01 0.02 0.05" in page.text


def test_command_is_one_that_the_command_line_reads(tmp_path: Path) -> None:
    import shlex

    from bioattack.cli.common import Command, parse
    from bioattack.evaluation.config import EvaluateConfig

    write_evaluation(tmp_path, MadeUpEvaluation(models=(MadeUpModel("a b;'c"), MadeUpModel("d"))))
    command = command_line(read_summary(tmp_path)["settings"])
    words = shlex.split(command.replace("\\\n", " "))
    assert words[0] == "bioattack-evaluate"
    config = parse(EvaluateConfig, Command("bioattack-evaluate", "s", "e"), words[1:])
    assert [str(path) for path in config.model] == ["runs/a b;'c", "runs/d"]
    assert (config.epsilons, config.steps) == ((0.001, 0.002, 0.005, 0.01, 0.02, 0.05), 20)
    assert (config.epsilons_l2, config.limit) == ((0.05, 0.1, 0.2, 0.5, 1.0), 200)


def test_steps_that_differ_between_norms_are_left_to_the_protocol() -> None:
    assert "--steps" not in command_line({"model": ["m"], "steps": {"linf": 40, "l2": 50}})


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    pages = []
    for name in ("first", "second"):
        write_evaluation(tmp_path / name, MadeUpEvaluation(models=TWO, **SMALL))
        pages.append(write_report(tmp_path / name).read_bytes())
    assert pages[0] == pages[1]


def test_models_are_compared_on_the_same_pictures(tmp_path: Path) -> None:
    table = write_evaluation(tmp_path, MadeUpEvaluation(models=TWO))
    (found,) = compare_models(read_results(tmp_path), Point("pgd", "linf", 0.01))
    rows = table[(table.norm == "linf") & (table.epsilon == 0.01)]
    right = {
        name: (rows.correct_clean & ~rows.success)[rows.model == name].to_numpy()
        for name in ("standard", "fixations")
    }
    only_first = int((right["standard"] & ~right["fixations"]).sum())
    only_second = int((right["fixations"] & ~right["standard"]).sum())
    assert (found.num_only_first, found.num_only_second) == (only_first, only_second)
    assert found.num_both + found.num_neither == 200 - only_first - only_second
    # Both tails of a fair coin, which is symmetric.
    fewer, total = min(only_first, only_second), only_first + only_second
    assert found.p_value == pytest.approx(min(1.0, 2 * binom.cdf(fewer, total, 0.5)))
    (clean,) = compare_models(read_results(tmp_path), None)
    assert clean.num_both + clean.num_only_first == round(0.87 * 200)


def test_random_layers_are_flagged(tmp_path: Path) -> None:
    models = (MadeUpModel("plain"), MadeUpModel("noisy", has_random_layers=True))
    write_evaluation(tmp_path, MadeUpEvaluation(models=models, **SMALL))
    page = Page(write_report(tmp_path))
    assert page.text.count("noisy has random layers") == 1
    assert "plain has random layers" not in page.text
    assert page.source.count('<span class="flag">random layers</span>') == 1


@pytest.mark.parametrize(
    ("made_up", "words"),
    [
        (
            MadeUpEvaluation(models=(MadeUpModel("m", clean=0.1),)),
            "m is not measurably better than guessing (10 %)",
        ),
        (
            MadeUpEvaluation(models=(MadeUpModel("m", strength=50.0),)),
            "more than a tenth of what m gets right",
        ),
        (MadeUpEvaluation(split="train"), "pictures of the training split"),
        (MadeUpEvaluation(models=(MadeUpModel("m", has_card=False),)), "How m was trained is not known here"),
        (MadeUpEvaluation(notes=("Judged after a full moon.",)), "Judged after a full moon."),
        # 1.96 * sqrt(0.25 / 100)
        (MadeUpEvaluation(num_images=100), "known to about ±9.8 points"),
        (MadeUpEvaluation(), "PGD with 20 steps is one attack"),
    ],
)
def test_caveats_that_apply_are_told(made_up: MadeUpEvaluation, words: str, tmp_path: Path) -> None:
    write_evaluation(tmp_path / "told", made_up)
    assert words in " ".join(caveats(read_summary(tmp_path / "told"))).replace("\u00a0", " ")


def test_caveats_that_do_not_apply_are_not_told(tmp_path: Path) -> None:
    write_evaluation(tmp_path, MadeUpEvaluation(linf=(), l2=(), num_examples=0))
    told = " ".join(caveats(read_summary(tmp_path)))
    for words in ("guessing", "tenth", "training split", "not known here", "random layers", "PGD"):
        assert words not in told


def test_an_attack_that_does_not_survive_saving_is_marked(tmp_path: Path) -> None:
    write_evaluation(tmp_path, MadeUpEvaluation(linf=(0.01,), l2=(), num_examples=1))
    index = tmp_path / "examples" / "index.json"
    examples = json.loads(index.read_text())
    for survives, count in ((True, 0), (False, 1)):
        index.write_text(
            json.dumps([example | {"success": True, "success_8bit": survives} for example in examples])
        )
        assert Page(write_report(tmp_path)).text.count("right again once saved in 8 bits") == count
