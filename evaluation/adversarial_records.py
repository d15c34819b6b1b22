"""Attacked pictures, or rows, as records that are read like any others; the manifest says where from."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bioattack.evaluation.attack_distances import json_epsilons
from bioattack.evaluation.config import PlannedAttack
from bioattack.evaluation.results import ADVERSARIAL_RECORDS, IMAGES, read_results
from bioattack.evaluation.saved_images import image_folder, image_path, row_path
from bioattack.tfrecords_builder.build import build_source
from bioattack.tfrecords_builder.reading import Records
from bioattack.tfrecords_builder.source import BuildOptions, Item, Picture, Row, Source

KIND = "adversarial"


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdversarialOptions(BuildOptions):
    """Which attack the pictures come from.

    Args:
        model: Name of the model.
        attack: Name of the attack.
        norm: Norm of the ball.
        epsilon: Its radius; None where the attack keeps to none.
    """

    model: str
    attack: str
    norm: str
    epsilon: float | None


class AdversarialSource(Source):
    """The pictures, or rows, of one model under one attack at one epsilon, as they were saved.

    Args:
        options: Which attack.
        table: Its rows of the long table.
        folder: Where the pictures are.
        records: The records that were attacked.
        provenance: What the manifest says of where they come from.
    """

    Options = AdversarialOptions

    def __init__(
        self,
        options: AdversarialOptions,
        *,
        table: pd.DataFrame,
        folder: Path,
        records: Records,
        provenance: dict[str, Any],
    ) -> None:
        super().__init__(options)
        self.class_names = records.class_names
        self.class_ids = records.manifest.class_ids
        self.groups = records.groups
        self.table = records.table
        self.channels = 0 if records.table is not None else records.manifest.image.channels
        self.folder = folder
        self.provenance = provenance
        columns = ["image_id", "split", "label", *records.groups]
        self.rows: list[dict[Any, Any]] = table[columns].to_dict("records")

    def items(self) -> list[Item]:
        """Lists the pictures under the names that they had before they were attacked."""
        path_of = image_path if self.table is None else row_path
        return [
            Item(
                row["image_id"],
                row["split"],
                int(row["label"]),
                {group: row[group] for group in self.groups},
                str(path_of(self.folder, row["image_id"])),
            )
            for row in self.rows
        ]

    def load(self, item: Item) -> Picture | Row:
        """Reads the PNG file as it is, or the row's numbers."""
        if self.table is not None:
            features = np.load(item.reference)
            sha256 = hashlib.sha256(features.astype("<f4").tobytes()).hexdigest()
            return Row(tuple(features.tolist()), sha256)
        encoded = Path(item.reference).read_bytes()
        # Width and height stand at the same place in every PNG file (its specification, section 11.2.2).
        width, height = (int.from_bytes(encoded[start : start + 4], "big") for start in (16, 20))
        return Picture(encoded, "png", height, width, self.channels, hashlib.sha256(encoded).hexdigest())

    def checksums(self) -> dict[str, Any]:
        """Says which attack on which model and which records made these pictures."""
        return self.provenance


def write_adversarial_records(
    output: Path,
    *,
    attacks: Sequence[PlannedAttack],
    described: Sequence[Mapping[str, Any]],
    records: Records,
    provenance: Mapping[str, Mapping[str, Any]],
) -> list[Path]:
    """Writes one records folder for each model, attack and epsilon of an attack's table.

    Where the least epsilon was searched, each picture is the one at its own; the folder is named after the
    largest.

    Args:
        output: The attack's output folder, which holds the long table and the pictures, and will hold the
            records.
        attacks: What was run.
        described: The same in words and numbers, for the manifests.
        records: The records that were attacked.
        provenance: For each model, by its name in the table, what the manifests say of where its pictures
            come from: seed, fingerprints.

    Returns:
        The new records folders.

    Raises:
        RecordsError: If one cannot be written.
    """
    results = read_results(output)
    written = []
    for model in provenance:
        for attack, description in zip(attacks, described, strict=True):
            is_its = (results["model"] == model) & (results["attack"] == attack.name)
            for epsilon in attack.reported_epsilons:
                table = results[is_its & (attack.is_search | (results["epsilon"] == epsilon))]
                named: dict[str, Any] = {
                    "model": model,
                    "attack": attack.name,
                    "norm": attack.norm,
                    "epsilon": epsilon,
                }
                target = image_folder(output / ADVERSARIAL_RECORDS, **named)
                pictures = image_folder(output / IMAGES, **named)
                # JSON knows no infinity.
                named["epsilon"] = json_epsilons([epsilon])[0]
                source = AdversarialSource(
                    AdversarialOptions(
                        output=target, seed=provenance[model]["seed"], workers=1, quiet=True, **named
                    ),
                    table=table,
                    folder=pictures,
                    records=records,
                    provenance={
                        **provenance[model],
                        **named,
                        "stages": description["stages"],
                        "num_success_8bit": int(table["success_8bit"].sum()),
                        "num_wrong_before": int((~table["correct_clean"]).sum()),
                    },
                )
                target.parent.mkdir(parents=True, exist_ok=True)
                build_source(KIND, source)
                written.append(target)
    return written
