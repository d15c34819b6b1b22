"""Records of an adversarial dataset: what they hold beside a picture or row, and how they are made.

An attacked picture is stored twice: as a PNG file in ``image/encoded``, which every reader shows, and as the
float32 numbers that the attack found in ``image/float32``, which training learns from. Rounding to 8 bits
would undo many attacks, those above all that stop as soon as they have succeeded.
"""

import dataclasses
import hashlib
from typing import Any

import numpy as np
import tensorflow as tf

from bioattack.tfrecords_builder import schema
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.images import encode_png

EXACT = "image/float32"
WEIGHT = "image/weight"
ORIGIN = "image/origin_id"
ATTACK = "image/attack/settings"
MODEL = "image/attack/model_sha256"
ROUND, STEP = "image/attack/round", "image/attack/step"
NUM_STEPS, COST = "image/attack/num_steps", "image/attack/cost"

_TEXTS = {"origin_id": ORIGIN, "attack": ATTACK, "model_sha256": MODEL}
_INTEGERS = {"weight": WEIGHT, "round": ROUND, "step": STEP, "num_steps": NUM_STEPS}


@dataclasses.dataclass(frozen=True)
class Provenance:
    """Where a record of an adversarial dataset comes from, and what it weighs.

    Args:
        origin_id: Name of the clean record it goes back to; its own where it is clean.
        weight: How often it is drawn, and how much it counts, beside the others; at least 1.
        round: Round of the algorithm in which it was made, from 1; 0 where it is clean.
        step: Step of the optimizer after which it was attacked, from 1 in each round; 0 where it is clean.
        attack: The attack and its settings as JSON text; empty where it is clean.
        model_sha256: Checksum of the attacked model's weights; empty where it is clean.
        num_steps: Steps that the attack took.
        cost: Distance from the clean record, stored as float32; NaN where it was not measured.
    """

    origin_id: str
    weight: int = 1
    round: int = 0
    step: int = 0
    attack: str = ""
    model_sha256: str = ""
    num_steps: int = 0
    cost: float = 0.0


def clean_record(record: bytes) -> bytes:
    """Makes the record of a clean picture or row one of an adversarial dataset, with weight 1.

    Args:
        record: As ``schema.serialise`` or ``schema.serialise_row`` writes it.

    Raises:
        RecordsError: If it is none.
    """
    example, is_table = _parsed(record)
    if not is_table:
        _set(example, EXACT, b"")
    _describe(example, Provenance(origin_id=_name(example, is_table)), is_table=is_table)
    return bytes(example.SerializeToString(deterministic=True))


def attacked_record(record: bytes, values: np.ndarray, *, name: str, provenance: Provenance) -> bytes:
    """Makes a record of what an attack made of a clean picture or row.

    Args:
        record: The clean one, whose label, class and groups stay.
        values: Float32, ``(height, width, channels)`` in [0, 1], or ``(features,)``.
        name: The new record's name.
        provenance: Where it comes from.

    Raises:
        RecordsError: If ``record`` is no record.
    """
    example, is_table = _parsed(record)
    exact = np.ascontiguousarray(values, "<f4").tobytes()
    if is_table:
        del example.features.feature[schema.FEATURES].float_list.value[:]
        example.features.feature[schema.FEATURES].float_list.value.extend(values.tolist())
    else:
        picture = encode_png(np.round(values * 255).astype(np.uint8))
        _set(example, EXACT, exact)
        _set(example, schema.ENCODED, picture.encoded)
        _set(example, schema.FORMAT, picture.format.encode())
        example.features.feature[schema.CHANNELS].int64_list.value[:] = [picture.channels]
    _set(example, _field(schema.FILENAME, is_table), name.encode())
    _set(example, _field(schema.SHA256, is_table), hashlib.sha256(exact).hexdigest().encode())
    _describe(example, provenance, is_table=is_table)
    return bytes(example.SerializeToString(deterministic=True))


def read_provenance(record: bytes) -> Provenance:
    """Reads what ``clean_record`` or ``attacked_record`` wrote.

    Raises:
        RecordsError: If the bytes are no record, or one of no adversarial dataset.
    """
    example, is_table = _parsed(record)
    feature = example.features.feature
    if _field(ORIGIN, is_table) not in feature:
        raise RecordsError(f"record {_name(example, is_table)} is not one of an adversarial dataset")
    found: dict[str, Any] = {
        name: feature[_field(field, is_table)].bytes_list.value[0].decode() for name, field in _TEXTS.items()
    }
    found |= {
        name: int(feature[_field(field, is_table)].int64_list.value[0]) for name, field in _INTEGERS.items()
    }
    cost = float(feature[_field(COST, is_table)].float_list.value[0])
    return Provenance(**found, cost=cost)


def label_of(record: bytes) -> int:
    """Reads the class of a record."""
    example, is_table = _parsed(record)
    return int(example.features.feature[_field(schema.LABEL, is_table)].int64_list.value[0])


def name_of(record: bytes) -> str:
    """Reads the name of a record."""
    return _name(*_parsed(record))


def _parsed(record: bytes) -> tuple[Any, bool]:
    example = tf.train.Example()
    try:
        example.ParseFromString(record)
    except Exception:  # of a type that depends on the version; the schema's own words follow
        schema.parse(record)
        raise
    is_table = schema.FEATURES in example.features.feature
    if not is_table and schema.ENCODED not in example.features.feature:
        schema.parse(record)
    return example, is_table


def _field(field: str, is_table: bool) -> str:
    return schema.row_field(field) if is_table else field


def _name(example: Any, is_table: bool) -> str:
    name: bytes = example.features.feature[_field(schema.FILENAME, is_table)].bytes_list.value[0]
    return name.decode()


def _set(example: Any, field: str, value: bytes) -> None:
    example.features.feature[field].bytes_list.value[:] = [value]


def _describe(example: Any, provenance: Provenance, *, is_table: bool) -> None:
    feature = example.features.feature
    for name, field in _TEXTS.items():
        _set(example, _field(field, is_table), getattr(provenance, name).encode())
    for name, field in _INTEGERS.items():
        feature[_field(field, is_table)].int64_list.value[:] = [getattr(provenance, name)]
    feature[_field(COST, is_table)].float_list.value[:] = [provenance.cost]
