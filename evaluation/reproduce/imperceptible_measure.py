"""Runs the attacks that people cannot see, judges and saves what they make, and reads it back."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from bioattack.attacks.request import AttackRequest
from bioattack.attacks.run import make_attack, make_engine
from bioattack.classifier import Classifier
from bioattack.distances import Distance
from bioattack.evaluation import output_folder
from bioattack.evaluation.config import MeasureConfig, MeasurePlan, PlannedAttack, default_batch_size
from bioattack.evaluation.evaluate import make_frame, make_pictures, write_summary
from bioattack.evaluation.judges import Judges
from bioattack.evaluation.reproduce.imperceptible_attacks import Contender
from bioattack.evaluation.reproduce.imperceptible_subject import Subject
from bioattack.evaluation.reproduce.workplace import ATTACKS, Workplace
from bioattack.evaluation.results import IMAGES, RESULTS, read_results
from bioattack.evaluation.robustness import Pictures, RobustnessMeasurement
from bioattack.evaluation.saved_images import PictureWriter, image_folder, image_path
from bioattack.tfrecords_builder.reading import explain_read_errors


@dataclasses.dataclass(frozen=True)
class Attacked:
    """What came of one attack.

    Args:
        key: Of the attack.
        results: Its rows of the long table, one for each picture, with a column for each judge.
        images: Folder of the attacked pictures, 8 bits per channel.
    """

    key: str
    results: pd.DataFrame
    images: Path

    def load(self, image_ids: Sequence[str]) -> np.ndarray:
        """Reads attacked pictures as they were saved: ``(pictures, height, width, channels)``, float32."""
        return np.stack([_read_png(image_path(self.images, image_id)) for image_id in image_ids])


def check_contenders(workplace: Workplace, subject: Subject, contenders: Sequence[Contender]) -> None:
    """Refuses attacks that cannot be run on these pictures, before any of them is.

    Args:
        workplace: Where the results go; attacks that are done are not looked at.
        subject: What is attacked.
        contenders: The attacks; of those that go by the same distance only one is tried.

    Raises:
        InputError: If a distance cannot be made, or cannot measure such pictures.
    """
    open_ones = [
        one for one in contenders if not output_folder.is_complete(_folder(workplace, one), has_report=False)
    ]
    for request in {(one.request.attack, one.request.norm): one.request for one in open_ones}.values():
        attack = make_attack(request, num_classes=subject.records.num_classes)
        attack.check_fit(subject.classifier, subject.records.image_shape)


def measure_contender(
    workplace: Workplace,
    subject: Subject,
    contender: Contender,
    *,
    num_images: int | None,
    judges: Mapping[str, Distance],
    classifier: Classifier | None = None,
) -> Attacked:
    """Attacks the pictures, or goes on with it, unless that is done.

    Args:
        workplace: Where the results go: ``attacks/imperceptible-KEY/``.
        subject: What is attacked.
        contender: The attack.
        num_images: The first so many pictures; None for all.
        judges: Distances by the names of their columns.
        classifier: In place of the subject's own, such as the same behind a defence.
    """
    model = classifier or subject.classifier
    output = _folder(workplace, contender)
    plan = _make_plan(workplace, subject, contender, num_images=num_images, judges=judges, output=output)
    records = subject.records
    pictures = make_pictures(records, plan)
    frame = make_frame(plan, pictures, records, [model])
    identity = output_folder.identity_of(frame)
    output_folder.compare_output(output, identity)
    if not output_folder.is_complete(output, has_report=False):
        workplace.say(f"{contender.title} on {pictures.num_images} pictures")
        with output_folder.held_output(output, identity, overwrite=False) as unfinished:
            _warm_up(model, contender.request, pictures, batch_size=plan.batch_size)
            measurement = RobustnessMeasurement(
                [model],
                pictures,
                plan=plan,
                folder=unfinished,
                judges=Judges(judges, image_shape=records.image_shape),
            )
            with explain_read_errors(records):
                measurement.run(lambda one, _: [PictureWriter(output / IMAGES, model=one.name)])
            measurement.write_table(output / RESULTS)
            write_summary(output, frame, seconds=0.0)
    return _read(output, plan.attacks[0], model=model.name)


def _warm_up(classifier: Classifier, request: AttackRequest, pictures: Pictures, *, batch_size: int) -> None:
    """Makes one step, so that what is done once for each graph is not in the time of the first pictures."""
    num_classes = int(classifier.logits(next(iter(pictures.batches()))["image"]).shape[1])
    engine = make_engine(classifier, request, num_classes=num_classes, batch_size=batch_size, seed=0)
    next(engine.run(pictures.batches()), None)


def _folder(workplace: Workplace, contender: Contender) -> Path:
    return workplace.output / ATTACKS / f"imperceptible-{contender.key.replace(':', '-')}"


def _make_plan(
    workplace: Workplace,
    subject: Subject,
    contender: Contender,
    *,
    num_images: int | None,
    judges: Mapping[str, Distance],
    output: Path,
) -> MeasurePlan:
    config = MeasureConfig(
        model=(subject.path,),
        data=subject.records.directory,
        output=output,
        limit=num_images,
        seed=workplace.config.seed,
        quiet=workplace.config.quiet,
    )
    attack = PlannedAttack(contender.key, contender.request.norm, (contender.request,))
    batch_size = default_batch_size(subject.records.image_shape)
    settings = config.shared_settings() | {
        "attacks": [describe_request(contender.request)],
        "batch_size": batch_size,
        "judges": list(judges),
    }
    return MeasurePlan(
        config, (attack,), batch_size, (), json.loads(json.dumps(settings)), judges=tuple(judges)
    )


def describe_request(request: AttackRequest) -> dict[str, object]:
    """What of a request JSON can hold: all of it, an infinite epsilon as text."""
    described = dataclasses.asdict(request)
    return described | {"epsilons": [str(epsilon) for epsilon in request.epsilons]}


def _read(output: Path, attack: PlannedAttack, *, model: str) -> Attacked:
    results = read_results(output)
    rows = results[results["attack"] == attack.name].reset_index(drop=True)
    (epsilon,) = attack.reported_epsilons
    folder = image_folder(output / IMAGES, model=model, attack=attack.name, norm=attack.norm, epsilon=epsilon)
    return Attacked(attack.name, rows, folder)


def originals(subject: Subject, image_ids: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Reads pictures by their names: images ``(pictures, height, width, channels)``, float32, and labels."""
    wanted = set(image_ids)
    found: dict[str, tuple[np.ndarray, int]] = {}
    for batch in subject.records.examples("test", batch_size=32).as_numpy_iterator():
        for name, image, label in zip(batch["image_id"], batch["image"], batch["label"], strict=True):
            if name.decode() in wanted:
                found[name.decode()] = (image, int(label))
        if len(found) == len(wanted):
            break
    images = np.stack([found[name][0] for name in image_ids])
    return images, np.array([found[name][1] for name in image_ids])


def _read_png(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        pixels = np.asarray(image)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    return pixels / np.float32(255)
