"""The command as a person uses it: attacks on records, with the pictures, interrupted, killed, misused."""

import errno
import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from PIL import Image

from bioattack.attacks.engine import Engine
from bioattack.classifier import load_classifier
from bioattack.cli.attack import main
from bioattack.cli.evaluate import main as evaluate_main
from bioattack.evaluation import robustness
from bioattack.evaluation.results import read_results, read_summary
from bioattack.evaluation.saved_images import image_folder, image_path
from bioattack.files import only_writer
from bioattack.testing.small_records import write_small_records
from bioattack.testing.tiny_models import save_tint_model, without_gradient

SIZE, NUM_IMAGES = 16, 20
EPSILONS = ("0.05", "0.12", "0.2")
# The least number of steps that reach the whole ball.
FAST = ["--steps", "5", "--relative-step", "0.25", "--epsilons", *EPSILONS, "--batch-size", "8", "--quiet"]


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return write_small_records(
        tmp_path_factory.mktemp("data") / "records", num_test=NUM_IMAGES, size=SIZE, countries=("NA", "KEN")
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tint_model(tmp_path_factory.mktemp("models") / "tint")


@pytest.fixture(scope="module")
def classifier(model):
    return load_classifier(model)


def attack(*arguments, expect=0, command=main):
    try:
        code = command([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = stop.code
    assert code == expect


def attacked_rows(output):
    results = read_results(output)
    return results[results["attack"] != "none"].reset_index(drop=True)


def saved_pictures(output, name):
    """The bytes of every saved picture, by its path."""
    return {
        path.relative_to(output).as_posix(): path.read_bytes()
        for path in sorted((output / name).rglob("*"))
        if path.is_file()
    }


def read_strictly(text):
    """Reads JSON; NaN and Infinity, which Python writes and others do not read, are refused."""

    def refuse(token):
        raise AssertionError(f"{token} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def output(model, records, tmp_path_factory):
    folder = tmp_path_factory.mktemp("output") / "out"
    attack("--model", model, "--data", records, "--output", folder, "--attack", "pgd", "--save", "png", *FAST)
    return folder


def the_command(model, records, folder):
    return [
        *("--model", model, "--data", records, "--output", folder, "--attack", "pgd", "--save", "png"),
        *FAST,
    ]


# --- what is written and printed ---


def test_one_table_for_all_models_and_attacks(model, records, tmp_path, capsys):
    other = save_tint_model(tmp_path / "a-model-with-a-name-that-is-longer-than-any-column", before=tf.square)
    attack(
        *("--model", model, "--model", other, "--data", records, "--output", tmp_path / "o"),
        *("--attack", "fgsm", "pgd-dlr-targeted"),
        *("--epsilons", "0.12", "0", "0.05", "--steps", "3", "--batch-size", "8", "--quiet"),
    )
    rows, summary = read_results(tmp_path / "o"), read_summary(tmp_path / "o")
    assert len(rows) == 2 * NUM_IMAGES * (1 + 2 * 3)
    assert set(rows["country"]) == {"NA", "KEN"}
    assert summary["settings"]["epsilons"] == {"linf": [0.0, 0.05, 0.12]}
    zero = rows[(rows["epsilon"] == 0) & (rows["attack"] != "none")]
    assert not zero["success"].any()
    assert (zero["predicted_adversarial"] == zero["predicted_clean"]).all()
    printed = capsys.readouterr().out.splitlines()
    head = next(place for place, line in enumerate(printed) if line.startswith("model "))
    table = printed[head : head + 1 + 2 * (1 + 2 * 3)]
    for title in ("attack", "judged at", "epsilon", "accuracy", "interval"):
        start = table[0].index(title)
        assert {line[start - 1 : start] for line in table} == {" "}, f"{title} is not aligned"
    assert "0.05 (12.8/255)" in table[3]
    assert "any iterate" in table[3]
    # Each percentage printed is that of the table.
    row = summary["adversarial"][2]
    assert f"{row['epsilon_words']}  {100 * row['accuracy']:5.1f} " in table[4]
    assert printed[-1] == f"table: {tmp_path / 'o' / 'results.csv.gz'}"
    assert "protocol" not in summary
    assert not (tmp_path / "o" / "unfinished").exists()
    assert not list((tmp_path / "o").rglob("*.partial"))


@pytest.mark.parametrize(("norm", "name"), [("l2", "pgd-margin"), ("rms", "mifgsm"), ("l1", "bim")])
def test_every_norm_at_its_default_epsilons(norm, name, model, records, tmp_path, capsys):
    attack(
        *("--model", model, "--data", records, "--output", tmp_path / "o", "--norm", norm, "--attack", name),
        *("--steps", "10", "--limit", "6", "--quiet", "--json"),
    )
    printed = read_strictly(capsys.readouterr().out)
    assert [row["norm"] for row in printed["adversarial"]] == [norm] * 4
    rows = attacked_rows(tmp_path / "o")
    assert (rows[norm] <= rows["epsilon"] * (1 + 1e-5)).all()
    assert (rows[norm] > 0.2 * rows["epsilon"]).all()


def test_saved_pictures_are_those_of_the_table(output, classifier):
    rows = attacked_rows(output)
    assert len(saved_pictures(output, "images")) == len(rows) == NUM_IMAGES * len(EPSILONS)
    assert 0 < rows["success_8bit"].mean() < 1
    for row in rows.itertuples():
        folder = image_folder(output / "images", model="tint", attack="pgd", norm="linf", epsilon=row.epsilon)
        with Image.open(image_path(folder, row.image_id)) as file:
            levels = np.asarray(file)
        logits = classifier.logits(levels[None].astype(np.float32) / np.float32(255)).numpy()
        assert row.success_8bit == (row.correct_clean and logits.argmax() != row.label)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_quantised_every_success_is_saved(norm, model, records, tmp_path):
    attack(
        *("--model", model, "--data", records, "--output", tmp_path / "o", "--quantise", "--attack", "pgd"),
        *("--norm", norm, "--epsilons", *(("0.1177", "0.13") if norm == "linf" else ("2.65", "2.75"))),
        *("--steps", "8", "--relative-step", "0.25", "--batch-size", "8", "--quiet"),
    )
    rows = attacked_rows(tmp_path / "o")
    assert 0 < rows["success"].mean() < 1
    assert (rows["success"] == rows["success_8bit"]).all()


def test_the_least_epsilon(model, records, tmp_path, capsys):
    attack(
        *("--model", model, "--data", records, "--output", tmp_path / "o", "--attack", "bim", "--json"),
        *("--least-epsilon", "0.002", "--epsilons", "0.118", "--batch-size", "8", "--quiet"),
    )
    printed = read_strictly(capsys.readouterr().out)
    text = (tmp_path / "o" / "summary.json").read_text()
    assert read_strictly(text)["least_epsilon"] == printed["least_epsilon"]
    rows = attacked_rows(tmp_path / "o")
    row, table = printed["least_epsilon"][0], pd.read_csv(tmp_path / "o" / "tables" / "least_epsilon.csv")
    fell = rows[rows["success"]]
    assert (row["num_fallen"], row["num_censored"]) == (len(fell), (rows["correct_clean"]).sum() - len(fell))
    assert min(row["num_fallen"], row["num_censored"]) > 0
    assert np.isinf(rows.loc[~rows["success"], "epsilon_high"]).all()
    assert table.loc[0, "mean_of_fallen"] == pytest.approx(fell["epsilon_high"].mean())
    assert table.loc[0, "largest"] == 0.118
    attack(
        *("--model", model, "--data", records, "--output", tmp_path / "o", "--attack", "bim"),
        *("--least-epsilon", "0.002", "--epsilons", "0.118", "--batch-size", "8", "--quiet"),
    )
    again = capsys.readouterr().out
    assert "least epsilon at which pictures fall that were right before" in again
    assert f"{row['mean_of_fallen']:.3g} (" in again
    assert "0.118 (30.1/255)" in again


def test_a_class_of_foolbox_with_options_beside_ours(model, records, tmp_path):
    attack(
        *("--model", model, "--data", records, "--output", tmp_path / "o"),
        *("--attack", "foolbox:LinfFastGradientAttack", "fgsm", "--foolbox-options", "random_start=false"),
        *("--epsilons", "0.12", "0.2", "--batch-size", "8", "--quiet", "--save", "png"),
    )
    rows = attacked_rows(tmp_path / "o")
    assert set(rows["attack"]) == {"foolbox:LinfFastGradientAttack", "fgsm"}
    assert (rows["judged"] == np.where(rows["attack"] == "fgsm", "any", "returned")).all()
    assert rows.loc[rows["attack"] != "fgsm", "success"].any()
    assert len(saved_pictures(tmp_path / "o", "images")) == len(rows)


def test_a_slow_class_of_foolbox_is_seen_at_work(model, records, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(robustness, "SHOW_SECONDS", 0.0)
    options = ["--foolbox-options", "steps=5", "binary_search_steps=2", "--limit", "4", "--batch-size", "2"]
    attack(
        *("--model", model, "--data", records, "--output", tmp_path / "o", *options),
        *("--attack", "foolbox:L2CarliniWagnerAttack"),
    )
    assert re.search(r"calls of the model for this batch: \d", capsys.readouterr().err)


def test_worst_case_is_the_union_of_its_attacks(model, records, tmp_path):
    common = ["--model", model, "--data", records, "--epsilons", "0.115", "0.12", "--batch-size", "8"]
    common += ["--steps", "12", "--quiet"]
    names = ["apgd-ce", "apgd-dlr-targeted", "square"]
    attack(*common, "--output", tmp_path / "w", "--attack", "worst-case")
    attack(*common, "--output", tmp_path / "s", "--attack", *names)
    union, apart = attacked_rows(tmp_path / "w"), attacked_rows(tmp_path / "s")
    successes = [apart.loc[apart["attack"] == name, "success"].to_numpy() for name in names]
    np.testing.assert_array_equal(union["success"], np.logical_or.reduce(successes))
    assert 0 < union["success"].mean() < 1
    stages = read_summary(tmp_path / "w")["attacks"][0]["stages"]
    assert [stage["attack"] for stage in stages] == names


# --- given again, interrupted, killed ---


def test_the_same_command_again_says_complete(output, model, records, capsys):
    before = (output / "results.csv.gz").stat().st_mtime_ns
    attack(*the_command(model, records, output))
    printed = capsys.readouterr().out
    assert "was complete already: nothing was attacked again" in printed
    assert f"pictures: {output / 'images'}" in printed
    assert (output / "results.csv.gz").stat().st_mtime_ns == before


def test_another_command_is_refused_and_overwrite_replaces(model, records, tmp_path, capsys):
    command = ["--model", model, "--data", records, "--output", tmp_path / "o", *FAST, "--limit", "3"]
    attack(*command, "--save", "png")
    attack(*command, expect=2)
    error = capsys.readouterr().err
    assert "save = png before and none now" in error
    assert error.count("\n") == 1
    attack(*command, "--overwrite")
    assert not (tmp_path / "o" / "images").exists()
    attack(*command, "--attack", "fgsm", expect=2)
    assert "attack = ['pgd'] before and ['fgsm'] now" in capsys.readouterr().err
    evaluation = ["--model", model, "--data", records, "--output", tmp_path / "o", "--quiet"]
    attack(*evaluation, command=evaluate_main, expect=2)
    assert "repeat its command" in capsys.readouterr().err


def test_dry_run_writes_nothing(model, records, tmp_path, capsys):
    command = ["--model", model, "--data", records, "--output", tmp_path / "o", *FAST, "--dry-run"]
    attack(*command, "--attack", "pgd", "fgsm", "--save", "records")
    printed = capsys.readouterr().out
    assert not (tmp_path / "o").exists()
    assert f"would attack {NUM_IMAGES} pictures" in printed
    assert (
        "pgd 5 steps in linf at epsilon 0.05 (12.8/255), 0.12 (30.6/255), 0.2 (51/255), judged at any"
        in printed
    )
    attack(*command, "--json")
    assert read_strictly(capsys.readouterr().out)["attacks"][0]["stages"][0]["num_steps"] == 5
    few = ["--model", model, "--data", records, "--output", tmp_path / "o", "--quiet", "--dry-run"]
    attack(*few, "--attack", "worst-case", "foolbox:L2PGD", "--save", "png")
    printed = capsys.readouterr().out
    assert (
        "worst-case (apgd-ce 100 steps, apgd-dlr-targeted 100 steps, square 5,000 steps) in linf" in printed
    )
    assert "foolbox:L2PGD in l2 at epsilon 0.11, 0.22, 0.43, 0.87, judged at returned image" in printed
    assert printed.endswith(f"into {tmp_path / 'o'} with the pictures\n")
    assert not (tmp_path / "o").exists()


def test_interrupted_in_the_middle_it_goes_on(output, model, records, tmp_path, monkeypatch, capsys):
    advance, passes = Engine._pass, []

    def interrupted(self, **arguments):
        passes.append(self)
        if len(passes) > 14:
            raise KeyboardInterrupt
        advance(self, **arguments)

    monkeypatch.setattr(Engine, "_pass", interrupted)
    monkeypatch.setattr(robustness, "SNAPSHOT_SECONDS", 0.0)
    attack(*the_command(model, records, tmp_path / "o"), expect=130)
    assert capsys.readouterr().err == "bioattack-attack: interrupted; the same command goes on from here\n"
    assert list((tmp_path / "o" / "unfinished").glob("*-stage0.npz"))
    monkeypatch.undo()
    attack(*the_command(model, records, tmp_path / "o"))
    assert_same_output(tmp_path / "o", output)


def assert_same_output(folder, output):
    pd.testing.assert_frame_equal(
        read_results(folder).drop(columns="seconds"),
        read_results(output).drop(columns="seconds"),
        check_exact=True,
    )
    assert saved_pictures(folder, "images") == saved_pictures(output, "images")
    assert not (folder / "unfinished").exists()


def test_a_full_disk_is_one_sentence_and_no_end(output, model, records, tmp_path, monkeypatch, capsys):
    save, saved = Image.Image.save, []

    def refused(self, path, **how):
        saved.append(path)
        if len(saved) == 30:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(self, path, **how)

    monkeypatch.setattr(Image.Image, "save", refused)
    attack(*the_command(model, records, tmp_path / "o"), expect=2)
    error = capsys.readouterr().err
    assert error.startswith("bioattack-attack: No space left on device: ")
    assert error.endswith("; free some space and give the same command again: it goes on from there\n")
    assert error.count("\n") == 1
    monkeypatch.undo()
    attack(*the_command(model, records, tmp_path / "o"))
    assert_same_output(tmp_path / "o", output)


KILLED = """
import os, signal, sys
from bioattack.attacks.engine import Engine
from bioattack.cli.attack import main
from bioattack.evaluation import robustness
robustness.SNAPSHOT_SECONDS = 0.0
advance, passes = Engine._pass, []
def killed(self, **arguments):
    passes.append(self)
    if len(passes) > 9:
        os.kill(os.getpid(), signal.SIGKILL)
    advance(self, **arguments)
Engine._pass = killed
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_killed_at_once_it_goes_on(output, model, records, tmp_path):
    command = [str(word) for word in the_command(model, records, tmp_path / "o")]
    result = subprocess.run([sys.executable, "-c", KILLED, *command], capture_output=True, check=False)
    assert result.returncode == -signal.SIGKILL
    assert not (tmp_path / "o" / "summary.json").exists()
    attack(*command)
    assert_same_output(tmp_path / "o", output)


def test_one_command_at_a_time_writes_a_folder(model, records, tmp_path, capsys):
    (tmp_path / "o").mkdir()
    with only_writer(tmp_path / "o"):
        attack(*the_command(model, records, tmp_path / "o"), expect=2)
    assert "another process is writing into" in capsys.readouterr().err


# --- misuse ---


def not_empty(folder):
    (folder / "o").mkdir()
    (folder / "o" / "thesis.txt").write_text("important")
    return []


def saved(folder, **options):
    return ["--model", save_tint_model(folder / "m", **options)]


def two_classes(folder):
    records = write_small_records(folder / "two", num_test=8, num_classes=2, size=SIZE)
    return [*saved(folder, num_classes=2), "--data", records, "--attack", "pgd-dlr-targeted"]


def no_test(folder):
    return ["--data", write_small_records(folder / "train", num_train=8, num_test=0, size=SIZE)]


MISUSE = {
    "have no split 'holdout'; they have": lambda _: ["--split", "holdout"],
    "have no split 'test'; they have train": no_test,
    "is not empty and holds no evaluation": not_empty,
    "there is no such file or folder": lambda folder: ["--model", folder / "missing"],
    "gives probabilities": lambda folder: saved(folder, after=tf.nn.softmax),
    "tells 4 classes apart": lambda folder: saved(folder, num_classes=4),
    "takes images of 20 x 20 x 3": lambda folder: saved(folder, size=20),
    "gives NaN or infinite logits for": lambda folder: saved(folder, before=lambda x: tf.sqrt(x - 0.5)),
    "has no gradient with respect to the pictures": lambda f: saved(f, before=without_gradient),
    "Foolbox has no attack Nope": lambda _: ["--attack", "foolbox:Nope"],
    "there is no class 'rouge'": lambda _: ["--target", "rouge"],
    "--attack pgd-dlr-targeted: the loss dlr-targeted compares at least three": two_classes,
    "--attack square: SquareAttack has no norm 'l1'": lambda _: ["--attack", "square", "--norm", "l1"],
    "--attack apgd: apgd judges any iterate": lambda _: ["--attack", "apgd", "--judged", "last"],
    "--attack square: square takes no steps of a given length": lambda _: [
        *("--attack", "square", "--relative-step", "0.1")
    ],
    "bioattack-attack: ": lambda folder: ["--data", folder],
}


@pytest.mark.parametrize("message", MISUSE)
def test_misuse_is_one_sentence_and_code_2(message, model, records, tmp_path, capsys):
    arguments = MISUSE[message](tmp_path)
    models = [] if "--model" in arguments else ["--model", model]
    attack(*models, "--data", records, "--output", tmp_path / "o", "--quiet", *arguments, expect=2)
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("bioattack-attack: ")
    assert error.count("\n") == 1
    if (tmp_path / "o").exists():
        assert [entry.name for entry in (tmp_path / "o").iterdir()] == ["thesis.txt"]


def test_a_model_that_breaks_on_the_way_is_one_sentence(records, tmp_path, capsys):
    # Sound in [0, 0.9], where the pictures are; NaN above, where the attack leads.
    broken = saved(tmp_path, before=lambda images: images + 0 * tf.math.log(0.87 - images))
    attack(*broken, "--data", records, "--output", tmp_path / "o", *FAST, expect=2)
    error = capsys.readouterr().err
    assert "gives NaN or infinite logits on the way from image test/" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", ["square", "foolbox:BoundaryAttack"])
def test_a_model_without_a_gradient_meets_attacks_that_need_none(name, records, tmp_path):
    model = saved(tmp_path, before=without_gradient)
    options = ["--steps", "30"] if name == "square" else ["--foolbox-options", "steps=5"]
    epsilons = ["0.2"] if name == "square" else ["20"]
    attack(
        *(*model, "--data", records, "--output", tmp_path / "o", "--attack", name, "--epsilons", *epsilons),
        *(*options, "--limit", "8", "--quiet"),
    )
    assert attacked_rows(tmp_path / "o")["success"].any()


@pytest.mark.parametrize("name", ["foolbox:LinfPGD", "worst-case"])
def test_and_no_others(name, records, tmp_path, capsys):
    model = saved(tmp_path, before=without_gradient)
    attack(
        *(*model, "--data", records, "--output", tmp_path / "o", "--attack", name, "--limit", "8", "--quiet"),
        expect=2,
    )
    error = capsys.readouterr().err
    assert "has no gradient with respect to the pictures" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--attack", "pgd-foo"], "there is no loss 'foo' for pgd"),
        (["--judged", "first"], "--judged"),
        (["--norm", "l3"], "--norm"),
        (["--save", "jpeg"], "--save"),
        (["--epsilons", "8"], "--epsilons must be in [0, 1]"),
        (["--steps", "many"], "--steps takes a whole number. Received: 'many'"),
        (["--random-start", "perhaps"], "--random-start takes true or false. Received: 'perhaps'"),
        (["--least-epsilon", "-1"], "--least-epsilon must be above 0"),
    ],
)
def test_bad_flags_are_refused_without_tensorflow(arguments, message):
    command = ["--model", "m", "--data", "d", "--output", "o", *arguments]
    code = (
        "import sys; from bioattack.cli.attack import main\n"
        f"try: main({command!r})\n"
        "except SystemExit as stop: assert stop.code == 2, stop.code\n"
        "assert 'tensorflow' not in sys.modules, 'a heavy import'\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_help_says_what_every_flag_takes():
    code = (
        "import sys; from bioattack.cli.attack import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "assert not {'tensorflow', 'keras', 'foolbox', 'pandas'} & set(sys.modules), 'a heavy import'\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "100"},
    )
    assert result.returncode == 0, result.stderr
    for words in (
        "--judged {any,last}",
        "--random-start {true,false}",
        "--norm {linf,l2,rms,l1}",
        "--save {none,png,records}",
        "--attack NAME [NAME ...]",
        "foolbox:CLASS",
        "worst-case",
        "example: bioattack-attack --model",
    ):
        assert words in result.stdout
