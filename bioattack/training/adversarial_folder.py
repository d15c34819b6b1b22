"""The folder of an adversarial dataset: whose it is, what it was made with, and whether it fits a run."""

import json
from pathlib import Path
from typing import Any

from bioattack.errors import InputError
from bioattack.files import PARTIAL_MARK, replacing
from bioattack.provenance import differences, versions
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.manifest import MANIFEST_NAME, Manifest, Shard, SplitInfo
from bioattack.tfrecords_builder.reading import Records, open_records
from bioattack.tfrecords_builder.weighted_shards import index_facts
from bioattack.training.config import TrainPlan
from bioattack.training.run_folder import ADVERSARIAL

SETTINGS, SUMMARY, SCRATCH = "settings.json", "summary.json", ".making"


def check_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Notes what a dataset is made with, or refuses to go on with one of other settings.

    Args:
        folder: It is there, and no other process writes into it.
        settings: All that decides the content, fit for JSON.

    Raises:
        InputError: If it holds something else, or a dataset of other settings.
    """
    path = folder / SETTINGS
    if not path.is_file():
        if any(not entry.name.endswith(PARTIAL_MARK) for entry in folder.iterdir()):
            raise InputError(
                f"{folder} is not empty and holds no adversarial dataset; give the name of a new folder"
            )
        with replacing(path) as partial:
            partial.write_text(json.dumps(settings, indent=1) + "\n")
        return
    try:
        before = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path} cannot be read ({error}); remove {folder} and start again") from None
    now = json.loads(json.dumps(settings))
    if found := differences(before, now):
        raise InputError(
            f"{folder} holds an adversarial dataset with {', '.join(found)}; repeat its settings to go"
            " on with it, or give another --output, or --overwrite to replace the run"
        )


def write_manifest(
    folder: Path,
    *,
    records: Records,
    kind: str,
    shards: tuple[Shard, ...],
    per_class: tuple[int, ...],
    settings: dict[str, Any],
    index: Path | None = None,
) -> Manifest:
    """Writes the manifest of a dataset that is complete: with it, the folder can be read like any records.

    Args:
        folder: Where the shards are.
        records: The clean records it goes back to.
        kind: ``"dro"`` or ``"merged"``.
        shards: In order.
        per_class: Records of each class.
        settings: What it was made with.
        index: File with the records' weights, where they have any; its checksum is noted.
    """
    clean = records.manifest
    manifest = Manifest(
        kind=kind,
        class_names=clean.class_names,
        image=clean.image,
        groups=clean.groups,
        splits={"train": SplitInfo(sum(shard.num_examples for shard in shards), per_class, shards)},
        source={"records": clean.fingerprint} | ({} if index is None else index_facts(index)),
        skipped=(),
        left_out={},
        duplicates={"num_pairs": 0, "examples": []},
        arguments=settings,
        versions=versions(),
        plan_sha256="",
        class_ids=clean.class_ids,
        table=clean.table,
    )
    with replacing(folder / MANIFEST_NAME) as partial:
        partial.write_text(manifest.to_json(), encoding="utf-8")
    return manifest


def refuse_several(part: tuple[int, int]) -> None:
    """Refuses to make a dataset on several machines at once.

    Args:
        part: Which of how many machines this is.

    Raises:
        InputError: If there are several.
    """
    if part[1] > 1:
        raise InputError(
            "--training-options.dataset is needed on several machines: make the adversarial dataset on one of"
            " them first, by the same training with --epochs 0, and give its folder to all"
        )


def open_dataset(folder: Path, *, kind: str, records: Records) -> Records:
    """Opens a finished adversarial dataset and holds it against the records that a run is given.

    Args:
        folder: The dataset.
        kind: ``"dro"`` or ``"merged"``.
        records: The run's records.

    Raises:
        InputError: If it is none, unfinished, damaged, of another kind, or was made from other records.
    """
    flag = "--training-options.dataset"
    if not (folder / MANIFEST_NAME).is_file():
        if (folder / SETTINGS).is_file():
            raise InputError(
                f"{flag}: the adversarial dataset {folder} is unfinished; give the command that makes it"
                " again, which goes on with it"
            )
        raise InputError(
            f"{flag}: {folder} is no adversarial dataset; give the {ADVERSARIAL}/ folder of a finished run"
        )
    try:
        dataset = open_records(folder)
    except RecordsError as error:
        first = str(error).removesuffix("; build the records again")
        raise InputError(
            f"{first}: the adversarial dataset is damaged; remove {folder} and give the command that made it"
            " again"
        ) from error
    if dataset.manifest.kind != kind:
        raise InputError(
            f"{flag}: {folder} holds records of kind {dataset.manifest.kind}, which --training {kind} cannot"
            f" use; give the {ADVERSARIAL}/ folder of a finished run with --training {kind}"
        )
    _compare(dataset, records, flag=flag)
    return dataset


def _compare(dataset: Records, records: Records, *, flag: str) -> None:
    for what, one, other in (
        ("classes", dataset.class_names, records.class_names),
        ("sizes", dataset.input_shape, records.input_shape),
    ):
        if one != other:
            raise InputError(
                f"{flag}: {dataset.directory} and --data {records.directory} differ in their {what}:"
                f" {', '.join(map(str, one))} and {', '.join(map(str, other))}; give a dataset that was made"
                " from these records"
            )
    made_from = dataset.manifest.source.get("records")
    if made_from != records.manifest.fingerprint:
        raise InputError(
            f"{flag}: {dataset.directory} was made from other records than {records.directory} holds, whose"
            " test split may hold what it was made from; give the records that it was made from"
        )


def refuse_deleting(path: Path, plan: TrainPlan, *, option: str) -> None:
    """Refuses what a run is to learn from if its own ``--overwrite`` would delete it first.

    Args:
        path: Of a dataset or model.
        plan: Of the run.
        option: What names the path.

    Raises:
        InputError: If it lies in the output folder that is to be overwritten.
    """
    output = plan.config.output
    if plan.config.overwrite and path.resolve().is_relative_to(output.resolve()):
        raise InputError(
            f"--training-options.{option}: {path} lies in {output}, which --overwrite deletes; give another"
            " --output"
        )
