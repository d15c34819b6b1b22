"""What ways of training share that attack rows of a table as well as pictures."""

from typing import Any, ClassVar

import keras
import tensorflow as tf

from bioattack.attacks.balls import Ball, get_ball
from bioattack.attacks.row_ball import RowBall
from bioattack.attacks.row_bounds import row_bounds
from bioattack.errors import InputError
from bioattack.tfrecords_builder.reading import open_records
from bioattack.training.adversarial_training import AdversarialTraining
from bioattack.training.config import TrainPlan


class RowTraining(AdversarialTraining):
    """Attacks every batch in a ball: of pictures that of a norm, of rows what leaves them valid.

    What a row may be moved to is read off the manifest of the plan's records: with ``perturb`` ``"valid"``
    continuous attributes within their ranges, in whole numbers where they count something; with ``"all"``
    every attribute as a real number. ``epsilon`` is then in the attributes' own units.

    Args:
        classifier: See ``AdversarialTraining``. It takes pictures, or rows of a table.
        plan: With options that have ``epsilon``, ``norm`` and ``perturb``.

    Raises:
        InputError: As ``AdversarialTraining``, or if the options do not go with pictures or with rows.
        RecordsError: If the classifier takes rows and the records cannot be read.
    """

    ranks: ClassVar[tuple[int, ...]] = (2, 4)

    def __init__(self, classifier: keras.Model, plan: TrainPlan) -> None:
        super().__init__(classifier, plan)
        is_of_rows = len(classifier.input_shape) == 2
        self.ball: Ball = self._ball_of_rows() if is_of_rows else self._ball_of_pictures()

    def as_shown(self, attacked: Any, images: Any) -> Any:
        """Rounds what counts something in attacked rows; pictures stay as they are.

        Args:
            attacked: ``(batch, ...)`` float32, inside the balls.
            images: The centres of the balls, of the same shape.
        """
        if not isinstance(self.ball, RowBall) or not self.ball.bounds.has_whole:
            return attacked
        epsilons = tf.fill([tf.shape(images)[0]], tf.constant(self.options.epsilon, tf.float32))
        return self.ball.rounded(attacked, images, epsilons)

    def _ball_of_rows(self) -> Ball:
        if self.options.norm != "linf":
            raise InputError(
                "--training-options.norm: rows of a table are attacked in linf, on the attributes' own"
                f" scales. Received: {self.options.norm!r}"
            )
        config = self.plan.config
        table = open_records(config.data).table
        if table is None:
            raise InputError(
                f"--model {config.model} takes rows of a table, and {config.data} holds pictures; give"
                " another --model or --data"
            )
        return RowBall(row_bounds(table, perturb=self.options.perturb))

    def _ball_of_pictures(self) -> Ball:
        if self.options.norm == "linf" and self.options.epsilon > 1:
            raise InputError(
                "--training-options.epsilon is in the unit of the pictures, which is [0, 1]: 0.0314 for 8 of"
                f" 255. Received: {self.options.epsilon:g}"
            )
        if self.options.perturb != "valid":
            raise InputError(
                f"--training-options.perturb {self.options.perturb} is of rows of a table, and"
                f" --model {self.plan.config.model} takes pictures; leave it out"
            )
        return get_ball(self.options.norm)
