"""Attacking batch after batch with a model whose weights change in between, and tracing nothing again."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bioattack.attacks.attack import AttackedModel
from bioattack.attacks.engine import Engine
from bioattack.attacks.losses import cross_entropy
from bioattack.attacks.measured_distance import check_distance_fits, choose_distance
from bioattack.attacks.registry import DISTANCE_ATTACKS
from bioattack.attacks.request import AttackRequest
from bioattack.attacks.run import make_attack, make_search
from bioattack.attacks.searches import Attempts
from bioattack.attacks.tasks import ImageResult
from bioattack.classifier import load_classifier
from bioattack.training.options import LONGEST_WAY, DroOptions

# Measure what they keep small in a distance that they are told.
_TAKING_A_DISTANCE = ("lagrangian", "ppgd", "lpa")
_WITH_STEP_LENGTH = ("lagrangian", "pgd-unbounded")
_ONE_STEP = ("fgsm", "ssim-newton")


def make_request(options: DroOptions) -> AttackRequest:
    """Says which attack the options of ``--training dro`` mean.

    Raises:
        InputError: If they do not go together.

    >>> make_request(DroOptions(attack="pgd-unbounded")).confidence
    0.0
    """
    settings: dict[str, Any] = {}
    if options.attack not in _ONE_STEP:
        settings["num_steps"] = options.num_steps
    if options.attack in _TAKING_A_DISTANCE:
        settings["distance"] = options.distance
    if options.attack == "lagrangian":
        settings["distance_weight"] = options.distance_weight
    if options.attack in _WITH_STEP_LENGTH:
        settings |= {"confidence": options.confidence, "step_length": options.step_length}
    if options.attack not in DISTANCE_ATTACKS:
        settings |= {"norm": options.norm, "epsilons": (options.epsilon,)}
    if options.attack in ("bim", "pgd", "mifgsm"):
        settings["relative_step"] = LONGEST_WAY / options.num_steps
    if options.attack == "pgd":
        # It begins at the picture that was drawn, which may have been attacked before.
        settings["has_random_start"] = False
    return AttackRequest(options.attack, **settings)


def cost_name(options: DroOptions) -> str:
    """Names the distance in which the cost of the options' attack is reported."""
    if options.attack == "perc-al":
        return "ciede2000"
    return options.distance if options.attack in DISTANCE_ATTACKS else options.norm


class StartedEngine(Engine):
    """An engine whose attacks begin at pictures of their own, beside those that they measure from.

    The stream gives them under ``start``, in the shape of ``image``; the rest is as in ``Engine``.
    """

    def _start_trials(self) -> None:
        places = sorted(self.starting)
        super()._start_trials()
        if places and self.state is not None:
            starts = np.stack([self._task_at(place).image.extra["start"] for place in places])
            images = self.state["adversarial_images"]
            self.state["adversarial_images"] = tf.tensor_scatter_nd_update(
                images, np.array(places)[:, np.newaxis], starts
            )


@dataclasses.dataclass(frozen=True)
class AttackedBatch:
    """What came of a batch, in its order.

    Args:
        images: ``(batch, height, width, channels)`` float32; where there was nothing to do, as it came in.
        losses: ``(batch,)``, cross-entropy at ``images``.
        num_steps: ``(batch,)``.
        is_correct: ``(batch,)``: right before.
        is_fooled: ``(batch,)``: right before and wrong after.
        is_fooled_8bit: ``(batch,)``: and still wrong if it were saved with 8 bits per channel.
    """

    images: np.ndarray
    losses: np.ndarray
    num_steps: np.ndarray
    is_correct: np.ndarray
    is_fooled: np.ndarray
    is_fooled_8bit: np.ndarray


class BatchAttack:
    """The attack inside Algorithm 4.1 on the streaming engine: each picture stops by itself.

    A batch is attacked to its end before the weights change. All batches share what was compiled for the
    first, which reads the weights as they are, and what the engine has learned about when it pays to look.

    Args:
        model: The network that is being trained; it is attacked as it is used, in inference mode.
        options: The attack.
        image_shape: ``(height, width, channels)``.
        num_classes: Number of its logits.
        batch_size: Slots of the engine.
        seed: With each picture's name, the source of what is random.

    Raises:
        InputError: If the attack or its distance does not go with such pictures.
    """

    def __init__(
        self,
        model: keras.Model,
        options: DroOptions,
        *,
        image_shape: tuple[int, ...],
        num_classes: int,
        batch_size: int,
        seed: int,
    ) -> None:
        self.classifier = load_classifier(model, name="in training")
        self.request = make_request(options)
        self.attack = make_attack(self.request, num_classes=num_classes)
        self.attack.check_fit(self.classifier, image_shape)
        self.confidence = self.request.confidence or 0.0
        self.batch_size = batch_size
        self.seed = seed
        distance = choose_distance(cost_name(options), classifier=self.classifier)
        check_distance_fits(distance, image_shape)
        spec = tf.TensorSpec((None, *image_shape), tf.float32)
        self._distances = tf.function(distance, input_signature=[spec, spec], autograph=False)
        # What an engine counts of when images are over; kept from batch to batch, and saved with the state.
        self.counts = [np.zeros(self.attack.num_steps + 1, np.int64) for _ in range(2)]

    def __call__(
        self, starts: np.ndarray, references: np.ndarray, labels: np.ndarray, names: Sequence[str]
    ) -> AttackedBatch:
        """Attacks a batch with the weights of this moment.

        Args:
            starts: ``(batch, height, width, channels)`` float32, in [0, 1]: where the attacks begin.
            references: The same shape: from which distances are measured, and around which balls lie.
            labels: ``(batch,)``, true classes.
            names: One for each.

        Raises:
            InputError: If the model gives numbers that are not finite.
        """
        logits = self.classifier.logits(starts).numpy()
        results = self._run(starts, references, labels, names, logits)
        images, final, num_steps = starts.copy(), logits.copy(), np.zeros(len(labels), np.int64)
        is_wrong, is_wrong_8bit = (np.zeros(len(labels), bool) for _ in range(2))
        for row, result in enumerate(results):
            if not result.outcomes or (finding := result.outcomes[0].finding) is None:
                continue
            images[row], final[row] = finding.required_image(), finding.logits
            num_steps[row] = result.outcomes[0].num_steps
            is_wrong[row] = result.outcomes[0].is_fooled
            if finding.logits_8bit is not None:
                is_wrong_8bit[row] = is_wrong[row] and int(finding.logits_8bit.argmax()) != labels[row]
        is_correct = logits.argmax(axis=1) == labels
        return AttackedBatch(
            images=images,
            losses=cross_entropy(tf.constant(final), tf.constant(labels, tf.int32)).numpy(),
            num_steps=num_steps,
            is_correct=is_correct,
            is_fooled=is_correct & is_wrong,
            is_fooled_8bit=is_correct & is_wrong_8bit,
        )

    def costs(self, origins: np.ndarray, images: np.ndarray) -> np.ndarray:
        """Measures how far pictures are from those they go back to, ``(batch,)`` float32."""
        costs: np.ndarray = self._distances(origins, images).numpy()
        return costs

    def _run(
        self,
        starts: np.ndarray,
        references: np.ndarray,
        labels: np.ndarray,
        names: Sequence[str],
        logits: np.ndarray,
    ) -> list[ImageResult]:
        engine = StartedEngine(
            AttackedModel(self.classifier),
            self.attack,
            search=make_search(self.request),
            attempts=Attempts(1, self.attack.num_targets, None),
            batch_size=self.batch_size,
            seed=self.seed,
        )
        engine.num_judged, engine.num_over = self.counts
        stream = {
            "image": references,
            "start": starts,
            "label": labels.astype(np.int64),
            "image_id": list(names),
            "clean_logits": self._as_judged(logits, labels),
        }
        results = [result for complete in engine.run([stream]) for result in complete]
        self.counts = [engine.num_judged, engine.num_over]
        return results

    def _as_judged(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The logits, but for pictures that are wrong by less than the confidence, which are attacked too.

        The engine lets go at once of what is wrong before (Algorithm 3.1, lines 5 and 6, for a = 0).
        """
        if not self.confidence:
            return logits
        rows = np.arange(len(labels))
        others = logits.copy()
        others[rows, labels] = -np.inf
        is_unsure = others.max(axis=1) - logits[rows, labels] <= self.confidence
        judged = logits.copy()
        judged[is_unsure] = 0.0
        judged[rows[is_unsure], labels[is_unsure]] = 1.0
        return judged
