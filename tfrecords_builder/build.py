"""The runner: from a source to a finished records folder."""

import contextlib
import dataclasses
import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import PIL
from tqdm import tqdm

from bioattack._version import __version__
from bioattack.tfrecords_builder.atomic import appearing
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.manifest import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    NO_IMAGES,
    ImageSize,
    Manifest,
    SplitInfo,
    shard_name,
)
from bioattack.tfrecords_builder.output import OutputFolder
from bioattack.tfrecords_builder.registry import source_class
from bioattack.tfrecords_builder.shards import FinishedShard, ShardTask, ShardWriter, find_finished
from bioattack.tfrecords_builder.source import INCIDENTAL_OPTIONS, SPLITS, BuildOptions, Item, Source
from bioattack.tfrecords_builder.splits import choose_num_shards, into_shards, take_limit
from bioattack.tfrecords_builder.workers import run_tasks

SAMPLE = 8
WORTH_WORKERS = 512
MAX_DUPLICATES_NAMED = 10
_RECORD_OVERHEAD_BYTES = 400


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a build will write.

    Args:
        kind: Of the source.
        arguments: Those that decide what is in the records.
        tasks: All shards.
        counts: Split -> number of pictures of each class.
        size: ``(height, width)`` of every picture, or ``(features,)`` of every row of a table.
        size_of: Key of the picture from which ``size`` is.
        estimated_bytes: Of all shards.
        sha256: Over arguments and items, without what only this machine knows (times).
    """

    kind: str
    arguments: dict[str, Any]
    tasks: tuple[ShardTask, ...]
    counts: dict[str, tuple[int, ...]]
    size: tuple[int, ...]
    size_of: str
    estimated_bytes: int
    sha256: str

    @property
    def command(self) -> dict[str, Any]:
        """What must be the same for a started build to go on."""
        return {"kind": self.kind, "arguments": self.arguments, "versions": _versions()}


@dataclasses.dataclass(frozen=True)
class BuildResult:
    """What a build did.

    Args:
        plan: What was to be written.
        left_out: What the source has and the records have not: reason -> ``{"count", "examples"}``.
        class_names: In the order of the labels.
        manifest: Of the finished folder; None after a dry run.
        was_complete: Whether the same records were there already.
        remarks: What the user should know of the source's pictures, in the form of ``left_out``.
    """

    plan: Plan
    left_out: dict[str, dict[str, Any]]
    class_names: tuple[str, ...]
    manifest: Manifest | None
    was_complete: bool = False
    remarks: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)


def build(kind: str, options: BuildOptions) -> BuildResult:
    """Builds a records folder, or goes on with one that an earlier start left unfinished.

    Args:
        kind: Of the source, as in ``registry.KINDS``.
        options: An instance of that source's ``Options``.

    Returns:
        The plan and the manifest. The shards are the same bytes for any number of workers.

    Raises:
        RecordsError: If the source or the output folder cannot be used; one sentence.
    """
    _check_options(options)
    return build_source(kind, source_class(kind)(options))


def build_source(kind: str, source: Source) -> BuildResult:
    """Builds a records folder from a source that is in hand already.

    Args:
        kind: What the manifest calls it.
        source: The source, with its options.

    Raises:
        RecordsError: As ``build``.
    """
    options = source.options
    plan = make_plan(kind, source, options)
    result = BuildResult(plan, source.left_out, source.class_names, None, remarks=source.remarks)
    if options.dry_run:
        return result
    output = OutputFolder(options.output)
    if not options.overwrite and (manifest := output.complete()) is not None:
        _check_same(manifest, plan, options)
        return dataclasses.replace(result, manifest=manifest, was_complete=True)
    with output.claimed(plan.command, overwrite=options.overwrite):
        return dataclasses.replace(result, manifest=_build(plan, source, options, output))


def _check_same(manifest: Manifest, plan: Plan, options: BuildOptions) -> None:
    """Refuses finished records that are not those which were asked for."""
    if manifest.plan_sha256 != plan.sha256:
        raise RecordsError(
            f"{options.output} holds the records of another command or another state of the source; "
            "choose another folder, or give --overwrite"
        )
    if (number := len(manifest.skipped)) and not options.skip_bad:
        what = "rows" if manifest.table is not None else "pictures"
        left_out = f"{number} unreadable {what} were" if number > 1 else f"one unreadable {what[:-1]} was"
        raise RecordsError(
            f"{options.output} holds records from which {left_out} left out; give --skip-bad to leave it at "
            "that, or mend the source (the manifest names what was skipped) and give --overwrite"
        )


def _check_options(options: BuildOptions) -> None:
    if options.workers < 0:
        raise RecordsError(f"--workers must be at least 0. Received: {options.workers}")
    if options.num_shards is not None and options.num_shards < 1:
        raise RecordsError(f"--num-shards must be at least 1. Received: {options.num_shards}")
    source = getattr(options, "source", None)
    if source is not None and Path(source).is_dir():
        inner, outer = Path(options.output).resolve(), Path(source).resolve()
        if inner == outer or outer in inner.parents:
            raise RecordsError(
                f"the output folder {options.output} lies in the source {source}; choose another"
            )


def make_plan(kind: str, source: Source, options: BuildOptions) -> Plan:
    """Lists the source's pictures and distributes them over shards; reads a few to know their size."""
    items = take_limit(source.items(), limit=options.limit, seed=options.seed)
    if not items:
        raise RecordsError(f"the source of kind {kind} has no pictures")
    size, size_of, mean_bytes = _sample(source, items, skip_bad=options.skip_bad)
    arguments = _arguments(options)
    common = json.dumps([kind, FORMAT_VERSION, arguments, source.class_names, _versions()], sort_keys=True)
    tasks: list[ShardTask] = []
    whole = hashlib.sha256(common.encode())
    for split in SPLITS:
        members = [item for item in items if item.split == split]
        if not members:
            continue
        num_shards = options.num_shards or choose_num_shards(len(members), mean_bytes)
        for index, shard_items in enumerate(into_shards(members, num_shards)):
            shard = hashlib.sha256(common.encode())
            for item in shard_items:
                whole.update(repr((item.split, item.key, item.label, sorted(item.groups.items()))).encode())
                shard.update(
                    repr((item.key, item.label, sorted(item.groups.items()), item.reference)).encode()
                )
            tasks.append(ShardTask(shard_name(split, index, num_shards), shard_items, shard.hexdigest()))
    return Plan(
        kind=kind,
        arguments=arguments,
        tasks=tuple(tasks),
        counts=_count(source, ((item.split, item.label) for item in items)),
        size=size,
        size_of=size_of,
        estimated_bytes=round(len(items) * (mean_bytes + _RECORD_OVERHEAD_BYTES)),
        sha256=whole.hexdigest(),
    )


def _sample(source: Source, items: list[Item], *, skip_bad: bool) -> tuple[tuple[int, ...], str, float]:
    """Reads a few pictures; returns the size of the first, its key, and the mean number of bytes."""
    first: tuple[tuple[int, ...], str] | None = None
    sizes: list[int] = []
    step = max(1, len(items) // SAMPLE)
    for item in [*items[::step][:SAMPLE], *(items if skip_bad else [])]:
        if len(sizes) == SAMPLE or (sizes and item is items[0]):
            break
        try:
            picture = source.load(item)
        except RecordsError:
            if not skip_bad:
                raise
            continue
        first = first or (picture.shape, item.key)
        sizes.append(picture.num_bytes)
    if first is None:
        raise RecordsError("none of the source's pictures can be read")
    return *first, sum(sizes) / len(sizes)


def _arguments(options: BuildOptions) -> dict[str, Any]:
    """The options that decide what is in the records; of files also the size, which tells them apart."""
    arguments: dict[str, Any] = {}
    for name, value in dataclasses.asdict(options).items():
        if name in INCIDENTAL_OPTIONS:
            continue
        arguments[name] = str(value) if isinstance(value, Path) else value
        if isinstance(value, Path) and value.is_file():
            arguments[f"{name}_bytes"] = value.stat().st_size
    as_read_back: dict[str, Any] = json.loads(json.dumps(arguments))
    return as_read_back


def _count(source: Source, labels: Any) -> dict[str, tuple[int, ...]]:
    counts = Counter(labels)
    classes = range(len(source.class_names))
    return {
        split: tuple(counts[split, label] for label in classes)
        for split in SPLITS
        if any(counts[split, label] for label in classes)
    }


def _versions() -> dict[str, str]:
    return {"bioattack": __version__, "pillow": PIL.__version__}


def _build(plan: Plan, source: Source, options: BuildOptions, output: OutputFolder) -> Manifest:
    finished = {
        task.name: found
        for task in plan.tasks
        if (found := find_finished(output.path, task, skip_bad=options.skip_bad)) is not None
    }
    output.remove_shards(keep=set(finished))
    source.prepare(output.scratch)
    waiting = [task for task in plan.tasks if task.name not in finished]
    num_waiting = sum(len(task.items) for task in waiting)
    write = ShardWriter(source, output.path, options.skip_bad, plan.size, plan.size_of)
    total = sum(len(task.items) for task in plan.tasks)
    # A large archive takes a while to hash: that goes on beside the workers.
    with ThreadPoolExecutor(1) as background:
        checksums = background.submit(source.checksums)
        with tqdm(
            desc="building",
            total=total,
            initial=total - num_waiting,
            unit=" pictures" if source.table is None else " rows",
            disable=options.quiet,
        ) as bar:
            num_workers = _choose_workers(options.workers, num_waiting)
            results = run_tasks(waiting, write, num_workers=num_workers, progress=_advance(bar))
            with contextlib.closing(results):
                for shard in results:
                    finished[shard.shard.name] = shard
                    for skip in shard.skipped:
                        bar.write(f"skipped: {skip['reason']}", file=sys.stderr)
        in_order = [finished[task.name] for task in plan.tasks]
        manifest = _make_manifest(plan, source, in_order, checksums.result())
    with appearing(output.path / MANIFEST_NAME, scratch=output.scratch) as file:
        file.write(manifest.to_json().encode())
    return manifest


def _advance(bar: "tqdm[Any]") -> Callable[[int], None]:
    def advance(number: int) -> None:
        bar.update(number)

    return advance


def _choose_workers(asked: int, num_pictures: int) -> int:
    if asked:
        return asked
    # Starting a process costs about as long as a hundred pictures take.
    return len(os.sched_getaffinity(0)) if num_pictures >= WORTH_WORKERS else 1


def _make_manifest(
    plan: Plan, source: Source, finished: list[FinishedShard], checksums: dict[str, Any]
) -> Manifest:
    written = [record for shard in finished for record in shard.written]
    counts = _count(source, ((split, label) for split, _, _, label in written))
    lacking = [
        name
        for name, number in zip(source.class_names, counts.get("train", ()), strict=False)
        if not number and "train" in plan.counts and plan.counts["train"][source.class_names.index(name)]
    ]
    if lacking or not counts:
        raise RecordsError(f"no picture of {', '.join(lacking) or 'any class'} can be read; mend the source")
    listing = "pictures_sha256" if source.table is None else "rows_sha256"
    return Manifest(
        kind=plan.kind,
        class_names=source.class_names,
        class_ids=source.class_ids,
        image=_image_size(plan, source),
        table=source.table,
        groups=source.groups,
        splits={split: _split_info(split, counts[split], finished) for split in counts},
        source=checksums | {listing: _listing_sha256(written)},
        skipped=tuple(skip for shard in finished for skip in shard.skipped),
        left_out=source.left_out,
        duplicates=_find_duplicates(written),
        arguments=plan.arguments,
        versions=_versions(),
        plan_sha256=plan.sha256,
    )


def _image_size(plan: Plan, source: Source) -> ImageSize:
    if source.table is not None:
        return NO_IMAGES
    height, width = plan.size
    return ImageSize(height, width, source.channels)


def _split_info(split: str, per_class: tuple[int, ...], finished: list[FinishedShard]) -> SplitInfo:
    shards = tuple(shard.shard for shard in finished if shard.shard.name.startswith(f"{split}-"))
    return SplitInfo(sum(per_class), per_class, shards)


def _listing_sha256(written: list[tuple[str, str, str, int]]) -> str:
    """The sha256 of what ``sha256sum`` prints for all pictures, sorted by path."""
    lines = sorted((key, sha256) for _, key, sha256, _ in written)
    listing = hashlib.sha256()
    for key, sha256 in lines:
        listing.update(f"{sha256}  {key}\n".encode())
    return listing.hexdigest()


def _find_duplicates(written: list[tuple[str, str, str, int]]) -> dict[str, Any]:
    """Finds pictures of the test split that are, byte for byte, in the training split too."""
    test: dict[str, list[str]] = {}
    for split, key, sha256, _ in written:
        if split == "test":
            test.setdefault(sha256, []).append(key)
    pairs = [
        [train_key, test_key]
        for split, train_key, sha256, _ in written
        if split == "train"
        for test_key in test.get(sha256, ())
    ]
    return {"num_pairs": len(pairs), "examples": sorted(pairs)[:MAX_DUPLICATES_NAMED]}
