"""The figure of one picture under all the attacks of a run, for each model."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from bioattack.attacks.request import AttackRequest, FoolboxRequest
from bioattack.classifier import Classifier
from bioattack.errors import InputError
from bioattack.evaluation.attack_figure import attack_picture, write_attack_figure
from bioattack.evaluation.config import MeasurePlan
from bioattack.evaluation.examples import safe_name
from bioattack.evaluation.output_folder import FIGURES
from bioattack.evaluation.robustness import Pictures
from bioattack.tfrecords_builder.reading import Records

FIRST = "first"


def write_figures(
    wanted: str, classifiers: Sequence[Classifier], pictures: Pictures, *, plan: MeasurePlan, records: Records
) -> None:
    """Draws one picture under every attack of a plan, into ``figures/attacks-MODEL.png``.

    Args:
        wanted: The picture's ``image_id``, or ``"first"`` for the first one that a model gets right.
        classifiers: One figure for each.
        pictures: Where the picture is looked for.
        plan: Attacks, seed and output folder.
        records: Their class names.

    Raises:
        InputError: If there is no such picture, or a model gets it wrong before it is attacked.
    """
    folder = plan.config.output / FIGURES
    folder.mkdir(exist_ok=True)
    attacks = {_name(stage): _unbounded(stage) for attack in plan.attacks for stage in attack.stages}
    for classifier in classifiers:
        image, label, image_id = _find(wanted, classifier, pictures)
        original, attacked = attack_picture(
            classifier,
            image,
            label,
            attacks=attacks,
            class_names=records.class_names,
            image_id=image_id,
            seed=plan.config.seed,
        )
        write_attack_figure(original, attacked, path=folder / f"attacks-{safe_name(classifier.name)}.png")


def _name(stage: AttackRequest | FoolboxRequest) -> str:
    return stage.attack if isinstance(stage, AttackRequest) else stage.class_name.removesuffix("Attack")


def _unbounded(stage: AttackRequest | FoolboxRequest) -> AttackRequest | FoolboxRequest:
    """Lets a search for the nearest picture search without a bound."""
    if isinstance(stage, FoolboxRequest):
        from bioattack.attacks.foolbox_names import searches_nearest

        if searches_nearest(stage.class_name):
            return dataclasses.replace(stage, epsilons=(math.inf,))
    return stage


def _find(wanted: str, classifier: Classifier, pictures: Pictures) -> tuple[np.ndarray, int, str]:
    for batch in pictures.batches():
        if wanted == FIRST:
            is_wanted = classifier.logits(batch["image"]).numpy().argmax(1) == batch["label"]
        else:
            is_wanted = np.asarray(batch["image_id"]) == wanted
        if is_wanted.any():
            place = int(np.flatnonzero(is_wanted)[0])
            return batch["image"][place], int(batch["label"][place]), str(batch["image_id"][place])
    if wanted == FIRST:
        raise InputError(f"--figure: model {classifier.name} gets none of the pictures right")
    raise InputError(
        f"--figure: there is no picture {wanted!r} among those under test; image_id in results.csv.gz has "
        "their names"
    )
