"""An evaluation with its audit: which pictures are taken, and what is kept of it."""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bioattack.classifier import Classifier
from bioattack.evaluation.audit import audit
from bioattack.evaluation.audit_checks.evidence import Sample
from bioattack.evaluation.audit_checks.finding import MARGIN, SIGNIFICANCE
from bioattack.evaluation.output_folder import identity_of
from bioattack.evaluation.results import AUDIT
from bioattack.files import replacing
from bioattack.tfrecords_builder.reading import Records

FORMAT_VERSION = 1

# For the surrogate: so many pictures beside those of the audit, and no more memory than this.
_MOST_FURTHER, _FURTHER_BYTES = 1024, 2**27


def take_sample(
    records: Records, *, split: str, num_images: int, limit: int | None, batch_size: int
) -> Sample:
    """Takes the first pictures of a split, and the next ones for a surrogate to learn from.

    Args:
        records: The records.
        split: The part of them that is under test.
        num_images: Pictures of the audit.
        limit: No pictures are looked at but this many.
        batch_size: Pictures that are read at once.
    """
    picture_bytes = 4 * math.prod(records.image_shape)
    wanted = min(num_images + min(_MOST_FURTHER, _FURTHER_BYTES // picture_bytes), limit or sys.maxsize)
    batches = list(records.examples(split, batch_size=batch_size, limit=wanted).as_numpy_iterator())
    images, labels, image_ids = (
        np.concatenate([batch[name] for batch in batches]) for name in ("image", "label", "image_id")
    )
    return Sample(
        images[:num_images],
        labels[:num_images],
        image_ids=[name.decode() for name in image_ids[:num_images]],
        further_images=images[num_images:],
        split=split,
        fingerprint=records.manifest.fingerprint,
    )


def audit_models(
    classifiers: Sequence[Classifier],
    sample: Sample,
    *,
    output: Path,
    identity: Mapping[str, Any],
    batch_size: int = 32,
    seed: int = 0,
    quiet: bool = True,
) -> dict[str, Any]:
    """Audits models one after the other and keeps each result as soon as it is there.

    Args:
        classifiers: The models; each is shown what was made for the others.
        sample: The pictures.
        output: Folder of the evaluation; ``audit.json`` is written there. Models in one that was begun with
            the same identity are not audited again.
        identity: What decides the result beside the code, as it can stand in JSON.
        batch_size: Pictures per call.
        seed: Of everything random.
        quiet: No progress on standard error.

    Returns:
        What ``audit.json`` holds (see ``bioattack.evaluation.results``).
    """
    content = read_audit(output)
    if content is None or content["identity"] != identity:
        content = {
            "format_version": FORMAT_VERSION,
            "identity": dict(identity),
            "significance": SIGNIFICANCE,
            "margin": MARGIN,
            "models": [],
        }
    done = {model["model"] for model in content["models"]}
    for classifier in classifiers:
        if classifier.name in done:
            continue
        others = [other for other in classifiers if other is not classifier]
        found = audit(classifier, sample, batch_size=batch_size, seed=seed, surrogates=others, quiet=quiet)
        content["models"].append(found)
        with replacing(output / AUDIT) as partial:
            partial.write_text(json.dumps(content, indent=2) + "\n")
    return content


def read_audit(output: Path) -> dict[str, Any] | None:
    """Reads ``audit.json`` of an evaluation's folder; None where there is none."""
    path = Path(output) / AUDIT
    return json.loads(path.read_text()) if path.is_file() else None


def audit_identity(summary: Mapping[str, Any], *, num_images: int) -> dict[str, Any]:
    """Takes out of a summary, or of what will become one, that which decides its audit."""
    return {**identity_of(dict(summary)), "audit_images": num_images}


def has_audit(summary: Mapping[str, Any], *, num_images: int) -> bool:
    """Tells whether a summary holds the audit of all its models on so many pictures."""
    content = summary.get("audit")
    if content is None or content["identity"] != audit_identity(summary, num_images=num_images):
        return False
    return [one["model"] for one in content["models"]] == [one["name"] for one in summary["models"]]
