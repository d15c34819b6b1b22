"""Checking a records folder against its manifest."""

import hashlib
from collections import Counter
from pathlib import Path

from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.manifest import Manifest, Shard, read_manifest
from bioattack.tfrecords_builder.schema import parse, parse_row
from bioattack.tfrecords_builder.tfrecord import read_records


def verify(directory: Path) -> list[str]:
    """Reads every byte of a records folder and compares it with the manifest.

    Returns:
        One sentence for each thing that is wrong, naming the file; an empty list where all is right.

    Raises:
        RecordsError: If the folder is no records folder, or its manifest cannot be read.
    """
    directory = Path(directory)
    manifest = read_manifest(directory)
    problems = []
    for split, info in manifest.splits.items():
        labels: Counter[int] = Counter()
        is_whole = True
        for shard in info.shards:
            problem = _check_shard(directory, shard, manifest, labels)
            if problem:
                problems.append(f"{shard.name} {problem}")
                is_whole = False
        per_class = tuple(labels[label] for label in range(len(manifest.class_names)))
        if is_whole and (per_class != info.per_class or info.num_examples != sum(per_class)):
            problems.append(f"split {split} has {per_class} records of the classes, not {info.per_class}")
    expected = {shard.name for info in manifest.splits.values() for shard in info.shards}
    problems += [
        f"{path.name} is not in the manifest"
        for path in sorted(directory.glob("*.tfrecord"))
        if path.name not in expected
    ]
    return problems


def _check_shard(directory: Path, shard: Shard, manifest: Manifest, labels: Counter[int]) -> str | None:
    path = directory / shard.name
    if not path.is_file():
        return "is missing"
    size = path.stat().st_size
    if size != shard.size_bytes:
        return f"has {size:,} bytes instead of {shard.size_bytes:,}"
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != shard.sha256:
            return "was changed: its sha256 is not the manifest's"
    try:
        read = parse if manifest.table is None else parse_row
        found = [read(record) for record in read_records(path)]
    except RecordsError as error:
        return f"cannot be read ({error})"
    if len(found) != shard.num_examples:
        return f"has {len(found)} records instead of {shard.num_examples}"
    if any(example.label not in range(len(manifest.class_names)) for example in found):
        return "has a label outside the classes"
    labels.update(example.label for example in found)
    return None
