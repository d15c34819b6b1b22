import dataclasses
import errno
import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys

import pytest

from bioattack.testing.made_up_pictures import class_pictures, picture_bytes, write_files
from bioattack.tfrecords_builder import atomic
from bioattack.tfrecords_builder.build import build
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.folder import FolderOptions
from bioattack.tfrecords_builder.manifest import MANIFEST_NAME, read_manifest
from bioattack.tfrecords_builder.schema import parse
from bioattack.tfrecords_builder.shards import SCRATCH_NAME
from bioattack.tfrecords_builder.tfrecord import read_records
from bioattack.tfrecords_builder.verify import verify

COUNTS = {"train/ant": 12, "train/bee": 9, "test/ant": 4, "test/bee": 3}


@pytest.fixture
def source(tmp_path):
    return write_files(tmp_path / "source", class_pictures(COUNTS))


@pytest.fixture
def options(tmp_path, source):
    return FolderOptions(source=source, output=tmp_path / "records", num_shards=4, workers=1, quiet=True)


def _contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def _keys(folder):
    return sorted(
        parse(record).filename for path in folder.glob("*.tfrecord") for record in read_records(path)
    )


def _run(options, *, before=""):
    """Builds in a process of its own, which ``before`` may prepare for an accident."""
    values = {
        name: str(value) if hasattr(value, "parts") else value
        for name, value in dataclasses.asdict(options).items()
    }
    code = (
        "import json, os, signal, sys\nfrom pathlib import Path\n"
        "from bioattack.tfrecords_builder import build, shards\n"
        "from bioattack.tfrecords_builder.folder import FolderOptions\n"
        f"values = json.loads({json.dumps(values)!r})\n"
        "values.update(source=Path(values['source']), output=Path(values['output']), groups=())\n"
        f"if __name__ == '__main__':\n{before}    build.build('folder', FolderOptions(**values))\n"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def _killed_after(number, *, where):
    """Lines that make a process kill itself after a number of calls, as ``kill -9`` would."""
    return (
        f"    original, calls = {where}, []\n"
        "    def deadly(*arguments, **named):\n"
        "        calls.append(1)\n"
        f"        if len(calls) > {number}: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return original(*arguments, **named)\n"
        f"    {where} = deadly\n"
    )


def test_records_are_whole(options):
    manifest = build("folder", options).manifest
    assert manifest == read_manifest(options.output)
    assert {split: info.per_class for split, info in manifest.splits.items()} == {
        "train": (12, 9),
        "test": (4, 3),
    }
    assert _keys(options.output) == sorted(class_pictures(COUNTS))
    assert set(_contents(options.output)) == {
        MANIFEST_NAME,
        *(f"{split}-0000{index}-of-00004.tfrecord" for split in ("train", "test") for index in range(4)),
    }
    assert not (options.output / SCRATCH_NAME).exists()
    assert verify(options.output) == []


def test_checksums_are_those_of_sha256sum(options, source):
    manifest = build("folder", options).manifest
    listing = subprocess.run(
        ["bash", "-c", "find . -type f | sed 's,^[.]/,,' | LC_ALL=C sort | xargs sha256sum"],
        cwd=source,
        capture_output=True,
        check=True,
    ).stdout
    assert manifest.source["pictures_sha256"] == hashlib.sha256(listing).hexdigest()
    for shard in manifest.splits["train"].shards:
        content = (options.output / shard.name).read_bytes()
        assert (shard.size_bytes, shard.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_same_bytes_for_any_number_of_workers(options, tmp_path):
    build("folder", options)
    for workers in (2, 4):
        other = dataclasses.replace(options, output=tmp_path / str(workers), workers=workers)
        build("folder", other)
        assert _contents(other.output) == _contents(options.output)


@pytest.mark.parametrize(
    ("workers", "accident"),
    [
        (1, _killed_after(22, where="shards.ShardWriter._load")),
        (2, _killed_after(4, where="build.tqdm.update")),
    ],
)
def test_goes_on_after_kill_9(options, tmp_path, workers, accident):
    build("folder", options)
    again = dataclasses.replace(options, output=tmp_path / "again", workers=workers)
    assert _run(again, before=accident).returncode == -signal.SIGKILL
    finished = {path.name: path.stat().st_ino for path in again.output.glob("*.tfrecord")}
    notes = {
        path.name.removesuffix(".json") for path in (again.output / SCRATCH_NAME).glob("*.tfrecord.json")
    }
    assert notes
    assert len(finished) < 8
    assert not (again.output / MANIFEST_NAME).exists()
    second = _run(again)
    assert second.returncode == 0, second.stderr
    assert _contents(again.output) == _contents(options.output)
    kept = {
        path.name for path in again.output.glob("*.tfrecord") if path.stat().st_ino == finished.get(path.name)
    }
    assert notes & set(finished) <= kept
    assert not (again.output / SCRATCH_NAME).exists()


def test_interrupt_keeps_finished_shards(options):
    # Background jobs of a shell ignore the signal, and what they start does so too.
    heeds = "    signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    accident = heeds + _killed_after(22, where="shards.ShardWriter._load").replace("SIGKILL", "SIGINT")
    assert _run(options, before=accident).returncode != 0
    assert list(options.output.glob("*.tfrecord"))
    assert not list((options.output / SCRATCH_NAME).glob("*.tmp"))
    build("folder", options)
    assert _keys(options.output) == sorted(class_pictures(COUNTS))


def test_unfinished_shard_that_was_damaged_is_written_again(options):
    _run(options, before=_killed_after(22, where="shards.ShardWriter._load"))
    shard = sorted(options.output.glob("*.tfrecord"))[0]
    shard.write_bytes(shard.read_bytes()[:-1])
    build("folder", options)
    assert verify(options.output) == []


def test_changed_picture_is_read_again_when_a_build_goes_on(options, source):
    _run(options, before=_killed_after(25, where="shards.ShardWriter._load"))
    done = parse(next(read_records(sorted(options.output.glob("*.tfrecord"))[0]))).filename
    changed = picture_bytes(999)
    (source / done).write_bytes(changed)
    manifest = build("folder", options).manifest
    records = [parse(record) for path in options.output.glob("*.tfrecord") for record in read_records(path)]
    assert changed in [record.encoded for record in records]
    assert sum(info.num_examples for info in manifest.splits.values()) == sum(COUNTS.values())


def test_another_command_on_an_unfinished_folder_is_refused(options):
    _run(options, before=_killed_after(22, where="shards.ShardWriter._load"))
    before = _contents(options.output)
    other = dataclasses.replace(options, size=8)
    with pytest.raises(
        RecordsError, match=r"records holds an unfinished build of another command.*--overwrite"
    ):
        build("folder", other)
    assert _contents(options.output) == before
    build("folder", dataclasses.replace(other, overwrite=True))
    assert read_manifest(options.output).image.height == 8
    assert verify(options.output) == []


def test_same_command_on_a_finished_folder_does_nothing(options):
    assert not build("folder", options).was_complete
    times = {path: path.stat().st_mtime_ns for path in options.output.iterdir()}
    result = build("folder", dataclasses.replace(options, workers=2))
    assert result.was_complete
    assert result.manifest == read_manifest(options.output)
    assert {path: path.stat().st_mtime_ns for path in options.output.iterdir()} == times


def test_another_command_on_a_finished_folder_is_refused(options, source):
    build("folder", options)
    before = _contents(options.output)
    with pytest.raises(RecordsError, match=r"records holds the records of another command or another state"):
        build("folder", dataclasses.replace(options, num_shards=2))
    write_files(source, {"train/ant/more.png": picture_bytes(1)})
    with pytest.raises(RecordsError, match=r"another state of the source"):
        build("folder", options)
    assert _contents(options.output) == before


def test_overwrite_replaces_the_records(options):
    build("folder", options)
    build("folder", dataclasses.replace(options, num_shards=2, overwrite=True))
    assert len(list(options.output.glob("*.tfrecord"))) == 4
    assert verify(options.output) == []


def test_finished_folder_with_a_missing_shard_is_refused(options):
    build("folder", options)
    shard = sorted(options.output.glob("*.tfrecord"))[2]
    shard.unlink()
    with pytest.raises(
        RecordsError, match=rf"{shard.name} is missing or cut short; build again with --overwrite"
    ):
        build("folder", options)
    build("folder", dataclasses.replace(options, overwrite=True))
    assert verify(options.output) == []


@pytest.mark.parametrize("overwrite", [False, True])
def test_folder_with_other_things_is_left_alone(options, overwrite):
    write_files(options.output, {"thesis.tex": b"years of work"})
    with pytest.raises(
        RecordsError, match=r"records is not empty: it holds 'thesis\.tex'; choose a new folder"
    ):
        build("folder", dataclasses.replace(options, overwrite=overwrite))
    assert _contents(options.output) == {"thesis.tex": b"years of work"}


def test_shards_without_a_manifest_are_not_replaced_unasked(options):
    write_files(options.output, {"train-00000-of-00001.tfrecord": b"x"})
    with pytest.raises(RecordsError, match=r"holds shards without a manifest.*--overwrite"):
        build("folder", options)
    build("folder", dataclasses.replace(options, overwrite=True))
    assert verify(options.output) == []


def test_output_that_is_a_file_is_refused(options):
    options.output.write_text("x")
    with pytest.raises(RecordsError, match=r"records is a file; --output must name a folder"):
        build("folder", options)


def test_unwritable_output_is_refused(options, monkeypatch):
    # Simulated: tests may run as root, whom no permission stops.
    options.output.mkdir()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(RecordsError, match=r"cannot write to .*records: Permission denied"):
        build("folder", options)


def test_output_inside_the_source_is_refused(options, source):
    with pytest.raises(RecordsError, match=r"the output folder .*source/records lies in the source"):
        build("folder", dataclasses.replace(options, output=source / "records"))


def test_two_builds_at_once_are_refused(options):
    _run(options, before=_killed_after(22, where="shards.ShardWriter._load"))
    with (options.output / SCRATCH_NAME / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(
            RecordsError, match=r"another build is writing to .*records; wait until it is done"
        ):
            build("folder", options)
    build("folder", options)


def test_full_disk_is_one_sentence_and_nothing_half_written(options, monkeypatch):
    calls = []

    def fsync(descriptor):
        calls.append(descriptor)
        if len(calls) == 9:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", fsync)
    with pytest.raises(
        RecordsError, match=r"cannot write .*\.tfrecord: No space left on device; the finished"
    ):
        build("folder", options)
    assert not (options.output / MANIFEST_NAME).exists()
    assert not list((options.output / SCRATCH_NAME).glob("*.tmp"))
    finished = {path: path.read_bytes() for path in options.output.glob("*.tfrecord")}
    assert finished
    monkeypatch.undo()
    build("folder", options)
    assert verify(options.output) == []
    assert all(path.read_bytes() == content for path, content in finished.items())


@pytest.mark.parametrize("workers", [1, 2])
def test_real_refusal_of_the_system_to_write_on(options, workers):
    # A limit on the size of files is the nearest to a full disk that needs no disk of its own.
    limit = "    import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
    limited = dataclasses.replace(options, workers=workers)
    result = _run(limited, before=limit)
    assert "RecordsError: cannot write" in result.stderr
    assert "File too large" in result.stderr
    assert all(path.stat().st_size < 2000 for path in options.output.rglob("*") if path.is_file())
    build("folder", options)
    assert verify(options.output) == []


def test_dry_run_writes_nothing(options):
    result = build("folder", dataclasses.replace(options, dry_run=True))
    assert not options.output.exists()
    assert result.manifest is None
    assert result.plan.counts == {"train": (12, 9), "test": (4, 3)}
    assert len(result.plan.tasks) == 8
    build("folder", options)
    size = sum(path.stat().st_size for path in options.output.glob("*.tfrecord"))
    assert result.plan.estimated_bytes == pytest.approx(size, rel=0.2)


def test_same_picture_in_both_splits_is_reported(options, source):
    copies = {"train/ant/copy.png": "test/bee/0.png", "train/bee/copy.png": "test/ant/1.png"}
    for copy, original in copies.items():
        (source / copy).write_bytes((source / original).read_bytes())
    # A copy within one split is no leak.
    (source / "train/ant/again.png").write_bytes((source / "train/ant/0.png").read_bytes())
    manifest = build("folder", options).manifest
    assert manifest.duplicates == {
        "num_pairs": 2,
        "examples": [[train, test] for train, test in copies.items()],
    }


def test_bad_picture_stops_the_build(options, source):
    write_files(source, {"train/ant/bad.jpg": b"no picture"})
    with pytest.raises(RecordsError, match=r"train/ant/bad\.jpg is not a picture"):
        build("folder", options)
    assert not (options.output / MANIFEST_NAME).exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_bad_pictures_are_skipped_and_listed(options, source, workers, capsys):
    write_files(source, {"train/ant/bad.jpg": b"no picture", "test/bee/none.png": b""})
    with pytest.raises(RecordsError, match=r"--skip-bad"):
        build("folder", options)
    # The finished shards of the build that stopped are taken over.
    manifest = build("folder", dataclasses.replace(options, skip_bad=True, workers=workers)).manifest
    assert sorted((skip["split"], skip["key"]) for skip in manifest.skipped) == [
        ("test", "test/bee/none.png"),
        ("train", "train/ant/bad.jpg"),
    ]
    assert {split: info.per_class for split, info in manifest.splits.items()} == {
        "train": (12, 9),
        "test": (4, 3),
    }
    assert verify(options.output) == []
    shown = capsys.readouterr().err
    assert "skipped: train/ant/bad.jpg is not a picture" in shown
    assert "skipped: test/bee/none.png is empty" in shown
    assert {skip["reason"] for skip in manifest.skipped} == {
        "test/bee/none.png is empty (zero bytes)",
        "train/ant/bad.jpg is not a picture",
    }
    sentence = (
        "records holds records from which 2 unreadable pictures were left out; give --skip-bad to leave"
    )
    with pytest.raises(RecordsError, match=sentence):
        build("folder", options)
    again = build("folder", dataclasses.replace(options, skip_bad=True))
    assert again.was_complete
    assert again.manifest == manifest
    (source / "train/ant/new.png").write_bytes((source / "train/ant/0.png").read_bytes())
    with pytest.raises(RecordsError, match=r"another command or another state of the source"):
        build("folder", options)


def test_a_link_that_leads_nowhere_is_a_picture_that_cannot_be_read(options, source):
    (source / "train/ant/gone.png").symlink_to(source / "nowhere.png")
    with pytest.raises(RecordsError, match=r"cannot read .*gone\.png: No such file"):
        build("folder", options)
    manifest = build("folder", dataclasses.replace(options, skip_bad=True)).manifest
    assert [skip["key"] for skip in manifest.skipped] == ["train/ant/gone.png"]


def test_class_of_which_nothing_can_be_read_is_refused(options, source):
    write_files(source, {f"train/bee/{number}.png": b"bad" for number in range(9)})
    with pytest.raises(RecordsError, match=r"no picture of bee can be read; mend the source"):
        build("folder", dataclasses.replace(options, skip_bad=True))
    assert not (options.output / MANIFEST_NAME).exists()


def test_source_of_which_nothing_can_be_read_is_refused(options, source):
    write_files(source, dict.fromkeys(class_pictures(COUNTS), b"bad"))
    with pytest.raises(RecordsError, match=r"none of the source's pictures can be read"):
        build("folder", dataclasses.replace(options, skip_bad=True))
    assert not options.output.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"workers": -1}, "--workers must be at least 0. Received: -1"),
        ({"num_shards": 0}, "--num-shards must be at least 1. Received: 0"),
        ({"limit": 0}, "--limit must be at least 1. Received: 0"),
    ],
)
def test_options_are_checked(options, change, message):
    with pytest.raises(RecordsError, match=message):
        build("folder", dataclasses.replace(options, **change))
    assert not options.output.exists()


def test_limit(options):
    manifest = build("folder", dataclasses.replace(options, limit=4)).manifest
    assert {split: info.per_class for split, info in manifest.splits.items()} == {
        "train": (2, 2),
        "test": (2, 2),
    }
