"""An engine in the middle of its work, as a file: a killed run goes on as if it had not been killed."""

import dataclasses
import json
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from bioattack.attacks.attack import Slots
from bioattack.attacks.compiled import compile_attack
from bioattack.attacks.engine import Engine
from bioattack.attacks.searches import Finding, Trial
from bioattack.attacks.stream import Image
from bioattack.attacks.tasks import Progress, Statistics, Task
from bioattack.errors import InputError
from bioattack.files import replacing

# Of a finding, what JSON can hold.
_VALUES = (
    "is_fooled",
    "is_fooled_8bit",
    "length",
    "margin",
    "clean_margin",
    "num_steps",
    "has_zero_gradient",
    "seconds",
)


def save_engine(engine: Engine, path: Path, *, note: dict[str, Any]) -> None:
    """Writes all that an engine knows, between two of its results, as one ``.npz`` file without pickle.

    Args:
        engine: The engine.
        path: The file; it is replaced as a whole.
        note: What the caller wants back with it, fit for JSON: how much of the results is written, say.
    """
    active = [task for task in engine.tasks if task is not None]
    tasks = [*active, *engine.waiting, *engine.finished.values()]
    number_of = {id(task): number for number, task in enumerate(tasks)}
    facts = {
        "note": note,
        "values": _VALUES,
        "tasks": [_task_facts(task) for task in tasks],
        "slots": [None if task is None else number_of[id(task)] for task in engine.tasks],
        "waiting": [number_of[id(task)] for task in engine.waiting],
        "finished": [number_of[id(task)] for task in engine.finished.values()],
        "starting": sorted(engine.starting),
        "num_batches_read": engine.num_batches_read,
        "next_index": engine.next_index,
        "is_dry": engine.is_dry,
        "statistics": dataclasses.asdict(engine.statistics),
    }
    findings = [finding for task in tasks for finding in task.findings]
    arrays: dict[str, Any] = {
        "facts": np.frombuffer(json.dumps(facts).encode(), np.uint8),
        **{f"progress/{name}": values for name, values in vars(engine.progress).items()},
        "num_judged": engine.num_judged,
        "num_over": engine.num_over,
        "pixels": _stack([task.image.pixels for task in tasks]),
        "clean_logits": _stack([task.image.clean_logits for task in tasks]),
        "logits": _stack([finding.logits for finding in findings]),
        "logits_8bit": _stack(
            [finding.logits_8bit for finding in findings if finding.logits_8bit is not None]
        ),
        "openings": _stack([task.image.opening for task in tasks if task.image.opening is not None]),
        "adversarial_images": _stack(
            [finding.adversarial_image for finding in findings if finding.adversarial_image is not None]
        ),
    }
    if engine.slots is not None and engine.state is not None:
        arrays |= {f"slots/{name}": value.numpy() for name, value in engine.slots._asdict().items()}
        arrays |= {f"state/{name}": value.numpy() for name, value in engine.state.items()}
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)


def restore_engine(engine: Engine, path: Path) -> dict[str, Any]:
    """Brings a fresh engine, made like the one that was saved, to where that one was.

    Args:
        engine: The engine; nothing has been run on it.
        path: The file.

    Returns:
        The note that was saved with it.

    Raises:
        InputError: If another version saved it.
    """
    with np.load(path) as file:
        arrays = dict(file)
    facts = json.loads(arrays["facts"].tobytes())
    if not {"progress/steps", "openings"} <= arrays.keys() or facts.get("values") != list(_VALUES):
        raise InputError(f"{path} was left by another version of bioattack: start anew, with --overwrite")
    logits, logits_8bit = iter(arrays["logits"]), iter(arrays["logits_8bit"])
    images, openings = iter(arrays["adversarial_images"]), iter(arrays["openings"])
    tasks = []
    for number, task in enumerate(facts["tasks"]):
        image = Image(
            pixels=arrays["pixels"][number],
            clean_logits=arrays["clean_logits"][number],
            opening=next(openings) if task["has_opening"] else None,
            **task["image"],
        )
        findings = [
            Finding(
                trial=Trial(**one["trial"]),
                logits=next(logits),
                adversarial_image=next(images) if one["has_image"] else None,
                logits_8bit=next(logits_8bit) if one["has_8bit"] else None,
                **one["values"],
            )
            for one in task["findings"]
        ]
        attempts = engine.attempts.list(image.clean_logits, image.label)
        tasks.append(Task(image, attempts, findings))
    engine.tasks = [None if number is None else tasks[number] for number in facts["slots"]]
    engine.waiting = deque(tasks[number] for number in facts["waiting"])
    engine.finished = {tasks[number].image.index: tasks[number] for number in facts["finished"]}
    engine.num_batches_read, engine.next_index = facts["num_batches_read"], facts["next_index"]
    engine.is_dry = facts["is_dry"]
    engine.statistics = Statistics(**facts["statistics"])
    engine.progress = Progress(**_under("progress/", arrays))
    engine.num_judged, engine.num_over = arrays["num_judged"], arrays["num_over"]
    if "slots/originals" in arrays:
        engine.slots = Slots(**{name: tf.constant(value) for name, value in _under("slots/", arrays).items()})
        engine.state = {name: tf.constant(value) for name, value in _under("state/", arrays).items()}
        engine.compiled = compile_attack(engine.model, engine.attack, engine.slots)
    engine.starting = {place: engine.required_trial(place) for place in facts["starting"]}
    return dict(facts["note"])


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}


def _task_facts(task: Task) -> dict[str, Any]:
    image = task.image
    return {
        "image": {
            "image_id": image.image_id,
            "label": image.label,
            "fallen_at": image.fallen_at,
            "extra": {name: _plain(value) for name, value in image.extra.items()},
            "index": image.index,
        },
        "has_opening": image.opening is not None,
        "findings": [
            {
                "trial": dataclasses.asdict(finding.trial),
                "values": {name: getattr(finding, name) for name in _VALUES},
                "has_image": finding.adversarial_image is not None,
                "has_8bit": finding.logits_8bit is not None,
            }
            for finding in task.findings
        ],
    }


def _plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if isinstance(value, np.generic) else value


def _stack(arrays: list[Any]) -> np.ndarray:
    return np.stack(arrays) if arrays else np.zeros(0, np.float32)
