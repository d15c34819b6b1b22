import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bioattack.cli.build_records import main
from bioattack.testing.made_up_pictures import class_pictures, picture_bytes, write_files
from bioattack.tfrecords_builder.registry import KINDS

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def source(tmp_path):
    return write_files(
        tmp_path / "source", class_pictures({"train/ant": 6, "train/bee": 5, "val/ant": 2, "val/bee": 1})
    )


@pytest.fixture
def words(tmp_path, source):
    return ["folder", "--source", str(source), "--output", str(tmp_path / "records"), "--quiet"]


def _refused(words, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    return shown.err


def test_build_and_verify(words, tmp_path, capsys):
    assert main(words) == 0
    shown = capsys.readouterr()
    assert [line.split() for line in shown.out.splitlines()[:4]] == [
        ["class", "train", "test"], ["ant", "6", "2"], ["bee", "5", "1"], ["all", "11", "3"],
    ]  # fmt: skip
    assert shown.err == ""
    assert main(["verify", str(tmp_path / "records")]) == 0
    assert "all records are as they were written" in capsys.readouterr().out


def test_building_imports_no_tensorflow(words):
    code = (
        "import sys; from bioattack.cli.build_records import main\n"
        f"assert main({words!r}) == 0\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_second_time_says_so(words, capsys):
    main(words)
    first = capsys.readouterr().out.splitlines()
    assert main(words) == 0
    again = capsys.readouterr().out.splitlines()
    assert again[:-1] == first[:-1]
    assert "was complete already" in again[-1]


def test_json(words, tmp_path, capsys):
    assert main([*words, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["splits"]["train"]["per_class"] == [6, 5]
    assert main(["verify", str(tmp_path / "records"), "--json"]) == 0
    verified = json.loads(capsys.readouterr().out)
    assert verified == {
        "directory": str(tmp_path / "records"), "problems": [], "fingerprint": result["fingerprint"],
    }  # fmt: skip


def test_dry_run(words, tmp_path, capsys):
    assert main([*words, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "would write 2 shards, about 0.0 MiB" in out
    assert main([*words, "--dry-run", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["splits"] == {"train": {"per_class": [6, 5]}, "test": {"per_class": [2, 1]}}
    assert not (tmp_path / "records").exists()


def test_progress_goes_to_standard_error(words, capsys):
    assert main(words[:-1]) == 0
    shown = capsys.readouterr()
    assert "building" in shown.err
    assert "building" not in shown.out


def test_left_out_and_duplicates_are_told(words, source, capsys):
    write_files(
        source, {"train/ant/a.txt": b"x", "train/ant/copy.png": (source / "val/bee/0.png").read_bytes()}
    )
    assert main(words) == 0
    err = capsys.readouterr().err
    assert "left out: 1 files that are no pictures by their names (train/ant/a.txt)" in err
    assert "warning: 1 pictures of the test split are in the training split too" in err
    assert "train/ant/copy.png = val/bee/0.png" in err


def test_verify_names_what_is_wrong(words, tmp_path, capsys):
    main(words)
    shards = sorted((tmp_path / "records").glob("*.tfrecord"))
    shards[0].unlink()
    content = bytearray(shards[1].read_bytes())
    content[50] ^= 1
    shards[1].write_bytes(content)
    capsys.readouterr()
    assert main(["verify", str(tmp_path / "records")]) == 1
    out = capsys.readouterr().out
    assert f"{shards[0].name} is missing" in out
    assert f"{shards[1].name} was changed" in out


def test_verify_of_something_else_is_refused(tmp_path, capsys):
    assert "is not a finished records folder" in _refused(["verify", str(tmp_path)], capsys)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give a kind first: imagenet10, folder, geo, cifar10, mnist, adult, synthetic"),
        (["fodler"], "Received: 'fodler'"),
        (["folder", "--output", "o"], "--source"),
        (["folder", "--source", "nothing", "--output", "o"], "there is no file or folder nothing"),
        (["folder", "--source", "s", "--output", "o", "--crop", "left"], "--crop"),
        (["folder", "--source", "s", "--output", "o", "--size", "big"], "size"),
        (["mnist", "--source", "nothing.npz", "--output", "o"], "there is no file or folder nothing.npz"),
    ],
)
def test_wrong_usage_is_one_sentence(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in _refused(words, capsys)
    assert not list(tmp_path.iterdir())


def test_bad_picture_is_one_sentence_or_a_listed_skip(words, source, capsys):
    write_files(source, {"train/ant/bad.jpg": picture_bytes(0)[:60]})
    assert "train/ant/bad.jpg is" in _refused(words, capsys)
    assert main([*words, "--skip-bad"]) == 0
    shown = capsys.readouterr()
    assert "skipped: train/ant/bad.jpg" in shown.err
    assert "1 pictures could not be read; the manifest lists them" in shown.out


def test_output_that_is_not_empty_is_refused(words, tmp_path, capsys):
    write_files(tmp_path / "records", {"thesis.tex": b"x"})
    assert "records is not empty: it holds 'thesis.tex'" in _refused(words, capsys)


def test_options_from_a_file(words, tmp_path, capsys):
    (tmp_path / "build.toml").write_text("size = 8\nnum_shards = 3\n")
    assert main([*words, "--config", str(tmp_path / "build.toml"), "--num-shards", "1"]) == 0
    manifest = json.loads((tmp_path / "records" / "manifest.json").read_text())
    assert (manifest["image"]["width"], len(manifest["splits"]["train"]["shards"])) == (8, 1)
    assert "records: written" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--help"], ["verify", "--help"], *([kind, "--help"] for kind in KINDS)])
def test_help_has_an_example_and_comes_at_once(words):
    code = (
        "import sys\nfrom bioattack.cli.build_records import main\n"
        f"try: main({words!r})\nexcept SystemExit as stop: assert stop.code == 0\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    times = []
    for _ in range(3):
        start = os.times().children_user
        result = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
        )
        times.append(os.times().children_user - start)
    assert result.returncode == 0, result.stderr
    assert "example: bioattack-build-records" in result.stdout
    # Of the processor, not of the clock, which other programs share.
    assert min(times) < 0.5


def test_overview_imports_no_source():
    code = (
        "import sys; from bioattack.cli.build_records import main; main(['--help'])\n"
        "assert not {'numpy', 'PIL', 'jsonargparse'} & set(sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    for kind in KINDS.values():
        assert f"{kind.name:<12} {kind.summary}" in result.stdout


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("bioattack-build-records ")
