"""``bioattack-build-records``: pictures become records; ``verify`` checks them."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioattack.cli.common import (
    CHECK_FAILED,
    DONE,
    Command,
    parse,
    prepare_tensorflow,
    print_result,
    run,
    take_sub_command,
)
from bioattack.tfrecords_builder.registry import KINDS, source_class

if TYPE_CHECKING:
    from bioattack.tfrecords_builder.build import BuildResult
    from bioattack.tfrecords_builder.source import BuildOptions

NAME = "bioattack-build-records"
VERIFY = Command(
    name=f"{NAME} verify",
    summary="Checks every byte of a records folder against its manifest; exit code 1 where it differs.",
    example=f"{NAME} verify records",
    goes_on=False,
)


@dataclasses.dataclass(frozen=True)
class VerifyOptions:
    """Options of ``bioattack-build-records verify``.

    Args:
        directory: The records folder.
        json: Print the result as JSON.
    """

    directory: Path = dataclasses.field(metadata={"positional": True})
    json: bool = False


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    taken = take_sub_command(NAME, argv, kind="kind", choices=[*KINDS, "verify"], overview=_overview)
    if taken is None:
        return DONE
    first, words = taken
    if first == "verify":
        return run(VERIFY, lambda: _verify(parse(VerifyOptions, VERIFY, words)))
    source = source_class(first)
    kind = KINDS[first]
    command = Command(
        name=f"{NAME} {first}",
        summary=f"Builds records of {kind.summary}.",
        example=f"{NAME} {first} {source.example}",
    )
    return run(command, lambda: _build(first, parse(source.Options, command, words)))


def _overview() -> str:
    lines = [
        f"usage: {NAME} KIND [options]",
        f"       {NAME} verify DIR",
        "",
        "Turns pictures, or the rows of a table, into records.",
        "",
    ]
    lines += [f"  {kind.name:<12} {kind.summary}" for kind in KINDS.values()]
    lines += [f"  {'verify':<12} check a records folder against its manifest", ""]
    lines += [f"{NAME} KIND --help lists the options of a kind.", ""]
    lines += [f"example: {NAME} folder --source photos.zip --output records --size 64", ""]
    return "\n".join(lines)


def _verify(options: VerifyOptions) -> int:
    from bioattack.tfrecords_builder.manifest import read_manifest
    from bioattack.tfrecords_builder.verify import verify

    problems = verify(options.directory)
    fingerprint = read_manifest(options.directory).fingerprint
    lines = [f"{options.directory}: {problem}" for problem in problems]
    print_result(
        {"directory": str(options.directory), "problems": problems, "fingerprint": fingerprint},
        lines or [f"{options.directory}: all records are as they were written ({fingerprint[:16]})"],
        as_json=options.json,
    )
    return CHECK_FAILED if problems else DONE


def _build(kind: str, options: "BuildOptions") -> int:
    from bioattack.tfrecords_builder.build import build

    if getattr(options, "source", options) is None:
        prepare_tensorflow()  # which Keras imports for its download, and nothing else here does
    result = build(kind, options)
    _warn(result)
    print_result(_summary(result, options), _lines(result, options), as_json=options.json)
    return DONE


def _warn(result: "BuildResult") -> None:
    """Says on standard error what the user should know about the source."""
    for reason, entry in result.left_out.items():
        names = ", ".join(entry["examples"][:3]) + (", ..." if entry["count"] > 3 else "")
        sys.stderr.write(f"left out: {entry['count']} {reason} ({names})\n")
    for what, entry in result.remarks.items():
        names = "; ".join(entry["examples"][:3]) + ("; ..." if entry["count"] > 3 else "")
        sys.stderr.write(f"note: {entry['count']} {what} ({names})\n")
    duplicates = result.manifest.duplicates if result.manifest else {}
    if duplicates.get("num_pairs"):
        named = "; ".join(f"{train} = {test}" for train, test in duplicates["examples"][:3])
        noun = "pictures" if result.manifest and result.manifest.table is None else "rows"
        sys.stderr.write(
            f"warning: {duplicates['num_pairs']} {noun} of the test split are in the training split too, "
            f"so that test results will look too good: {named}\n"
        )


def _summary(result: "BuildResult", options: "BuildOptions") -> dict[str, Any]:
    summary: dict[str, Any] = {
        "output": str(options.output),
        "kind": result.plan.kind,
        "class_names": result.class_names,
        "left_out": result.left_out,
        "remarks": result.remarks,
    }
    if result.manifest is None:
        return summary | {
            "splits": {split: {"per_class": counts} for split, counts in result.plan.counts.items()},
            "shards": [task.name for task in result.plan.tasks],
            "estimated_bytes": result.plan.estimated_bytes,
        }
    splits = {split: dataclasses.asdict(info) for split, info in result.manifest.splits.items()}
    return summary | {
        "splits": splits,
        "skipped": result.manifest.skipped,
        "duplicates": result.manifest.duplicates,
        "fingerprint": result.manifest.fingerprint,
        "was_complete": result.was_complete,
    }


def _lines(result: "BuildResult", options: "BuildOptions") -> list[str]:
    manifest, plan = result.manifest, result.plan
    counts = {split: info.per_class for split, info in manifest.splits.items()} if manifest else plan.counts
    names = dict(enumerate(result.class_names))
    shown = {label: name for label, name in names.items() if any(of[label] for of in counts.values())}
    width = max(len("class"), *(len(name) for name in shown.values()))
    lines = [f"{'class':<{width}}" + "".join(f"{split:>10}" for split in counts)]
    lines += [
        f"{name:<{width}}" + "".join(f"{counts[split][label]:>10}" for split in counts)
        for label, name in shown.items()
    ]
    lines.append(f"{'all':<{width}}" + "".join(f"{sum(counts[split]):>10}" for split in counts))
    if len(shown) < len(names):
        lines.append(f"{len(names) - len(shown)} of {len(names)} classes have no pictures")
    if manifest is None:
        size = plan.estimated_bytes / 2**20
        lines.append(f"would write {len(plan.tasks)} shards, about {size:.1f} MiB, to {options.output}")
        return lines
    shards = [shard for info in manifest.splits.values() for shard in info.shards]
    if manifest.skipped:
        lines.append(f"{len(manifest.skipped)} pictures could not be read; the manifest lists them")
    size = sum(shard.size_bytes for shard in shards) / 2**20
    done = "was complete already" if result.was_complete else "written"
    lines.append(
        f"{options.output}: {done}, {len(shards)} shards, {size:.1f} MiB ({manifest.fingerprint[:16]})"
    )
    return lines


if __name__ == "__main__":
    sys.exit(main())
