"""One step along the Newton direction of structural similarity."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import tensorflow as tf

from bioattack.attacks.balls import L2
from bioattack.attacks.gradient_descent import ProjectedGradientDescent
from bioattack.attacks.registry import AttackSettings
from bioattack.attacks.ssim_solver import NewtonSettings, check_window_fits, newton_directions
from bioattack.classifier import Classifier
from bioattack.errors import InputError


@dataclasses.dataclass(frozen=True)
class StructuralL2(L2):
    """The Euclidean ball, ascended where structural similarity suffers least for what the loss gains.

    Args:
        newton: Windows and tolerance.
    """

    newton: NewtonSettings = dataclasses.field(default_factory=NewtonSettings)

    def ascend(self, gradients: Any, images: Any | None = None) -> Any:
        """The Newton direction ``H^-1 g`` at the images, of length 1.

        Args:
            gradients: ``(batch, height, width, channels)`` float32. NaN counts as 0.
            images: The same shape, where the gradients were taken; needed here.

        Returns:
            The shape of ``gradients``; 0 for an image whose gradient is 0.

        Raises:
            ValueError: If no images are given.
            InputError: If the images are smaller than half a window.
        """
        if images is None:
            raise ValueError("the Newton direction needs the images at which the gradients were taken")
        known = tf.where(tf.math.is_nan(gradients), tf.zeros_like(gradients), gradients)
        return super().ascend(newton_directions(images, known, self.newton).directions)


class SsimNewtonAttack(ProjectedGradientDescent):
    """The one-step attack on structural similarity, at any size of image.

    ``x_adv = clip(x + epsilon D / |D|_2)`` with ``D = H^-1 g``, g the gradient of the loss and H the Hessian
    of ``1 - SSIM(x, .)`` at x, that is the step that gains most of the loss, to first order, for what it
    loses of structural similarity, to second order. Epsilon is the Euclidean length before clipping to
    [0, 1], which only shortens it. The one-step attack to compare it with,
    ``clip(x + epsilon g / |g|_2)``, is ``fgsm`` in the norm ``l2``.

    Args:
        norm: ``"l2"``.
        settings: The loss; there is one step and no random start.
        num_classes: Number of logits.

    Raises:
        InputError: If more than one step, a random start or momentum is asked for.

    Source:
        Hua et al. 2022, equation 3.4 and Figure 3.1.
    """

    defaults: ClassVar[dict[str, AttackSettings]] = {
        "l2": AttackSettings(1, 1.0, has_random_start=False, judged="any")
    }

    def __init__(self, *, norm: str, settings: AttackSettings, num_classes: int) -> None:
        if settings.num_steps != 1 or settings.has_random_start or settings.momentum is not None:
            raise InputError("ssim-newton makes one step from the picture itself: no more, no random start")
        super().__init__(norm=norm, settings=settings, num_classes=num_classes)
        self.ball = self.structural_ball = StructuralL2()

    def check_fit(self, classifier: Classifier, image_shape: Sequence[int]) -> None:
        """Refuses images that are smaller than half a window."""
        super().check_fit(classifier, image_shape)
        check_window_fits((None, *image_shape), self.structural_ball.newton)
