"""The network of PieAPP at any width: convolutions on patches, then scores and weights of patches."""

import dataclasses
from collections.abc import Mapping
from typing import TypeAlias

import tensorflow as tf

PATCH_SIZE = 64
# Counting convolutions from 1: their outputs that are compared, and those that are pooled to half the size.
TAPS = (3, 5, 7, 9, 11)
_POOLED = (2, 4, 6, 8, 10)
# Added to each patch's weight, and what its error is multiplied by.
LEAST_WEIGHT = 1e-6
_SCORE_SCALE = 0.01

# One tensor for each name in ``PieAppDesign.shapes``.
NetworkWeights: TypeAlias = Mapping[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class PieAppDesign:
    """How wide a network of the PieAPP kind is.

    Args:
        widths: Channels of the eleven 3 x 3 convolutions.
        hidden: Units between the compared features and a patch's score, and its weight.
        first_stride: 1 as published; 2 lets the first convolution halve the patch in place of the first
            pooling, which makes a small network cheaper.

    Raises:
        ValueError: If there are not eleven widths, or the stride is neither 1 nor 2.

    Source:
        Prashnani et al. 2018, PieAPP: perceptual image-error assessment through pairwise preference, figure
        3.

    >>> PUBLISHED_DESIGN.num_compared
    120832
    """

    widths: tuple[int, ...]
    hidden: int
    first_stride: int = 1

    def __post_init__(self) -> None:
        """Checks the arguments."""
        if len(self.widths) != TAPS[-1]:
            raise ValueError(f"widths must be eleven numbers. Received: widths={self.widths}")
        if self.first_stride not in (1, 2):
            raise ValueError(f"first_stride must be 1 or 2. Received: first_stride={self.first_stride}")

    @property
    def taps(self) -> tuple[tuple[int, int], ...]:
        """Side and channels of each output that is compared."""
        return tuple((PATCH_SIZE >> (tap // 2), self.widths[tap - 1]) for tap in TAPS)

    @property
    def num_compared(self) -> int:
        """Features of one patch that are compared."""
        return sum(side * side * channels for side, channels in self.taps)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of all weights: kernels HWIO, or (in, out) with inputs in the order H, W, C."""
        shapes: dict[str, tuple[int, ...]] = {}
        channels = 3
        for number, width in enumerate(self.widths, 1):
            shapes[f"conv{number}/kernel"] = (3, 3, channels, width)
            shapes[f"conv{number}/bias"] = (width,)
            channels = width
        side, width = self.taps[-1]
        for name, inputs, outputs in (
            ("fc1_score", self.num_compared, self.hidden),
            ("fc2_score", self.hidden, 1),
            ("fc1_weight", side * side * width, self.hidden),
            ("fc2_weight", self.hidden, 1),
        ):
            shapes[f"{name}/kernel"] = (inputs, outputs)
            shapes[f"{name}/bias"] = (outputs,)
        return shapes | {"reference/scale": (1,), "reference/offset": (1,)}


PUBLISHED_DESIGN = PieAppDesign((64, 64, 64, 128, 128, 128, 256, 256, 256, 512, 512), 512)
MINI_DESIGN = PieAppDesign((12, 12, 8, 16, 16, 16, 24, 24, 32, 32, 48), 64, first_stride=2)


def project_patches(
    weights: NetworkWeights, patches: tf.Tensor, first_stride: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Takes patches through the convolutions and the linear parts of the first dense layers.

    Those layers see differences of features only, and are linear: the difference of two projections is the
    projection of the difference. So a reference needs to be remembered by its projections alone, 1,024
    numbers in place of 120,832 in the published design.

    Args:
        weights: Named as in ``PieAppDesign.shapes``, in the dtype of the patches.
        patches: ``(patches, 64, 64, 3)``, blue, green, red, 0 to 255.
        first_stride: Of the design.

    Returns:
        Two tensors ``(patches, hidden)``, for the score and for the weight, without biases.
    """
    values, row, score = patches, 0, tf.zeros((), patches.dtype)
    for number in range(1, TAPS[-1] + 1):
        stride = first_stride if number == 1 else 1
        values = tf.nn.conv2d(values, weights[f"conv{number}/kernel"], stride, "SAME")
        values = tf.nn.relu(tf.nn.bias_add(values, weights[f"conv{number}/bias"]))
        if number in TAPS:
            size = values.shape[1] * values.shape[2] * values.shape[3]
            features = tf.reshape(values, (-1, size))
            score += features @ weights["fc1_score/kernel"][row : row + size]
            row += size
        if number in _POOLED and not (number == _POOLED[0] and first_stride == 2):
            values = tf.nn.max_pool2d(values, 2, 2, "VALID")
    return score, features @ weights["fc1_weight/kernel"]


def score_patches(
    weights: NetworkWeights, score: tf.Tensor, weight: tf.Tensor, *, relu_after_weight: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """Turns differences of projections, reference less image, into scores and weights of patches.

    Args:
        weights: As for ``project_patches``.
        score: ``(..., hidden)``, difference of the projections for the score.
        weight: ``(..., hidden)``, difference of the projections for the weight.
        relu_after_weight: Whether weights below 0 count as 0, as in the official TensorFlow code; the
            official PyTorch code leaves them as they are.

    Returns:
        Scores and weights, both of shape ``(...)``.
    """
    errors = _two_layers(weights, "score", score)
    scores = weights["reference/scale"] * _SCORE_SCALE * errors + weights["reference/offset"]
    importance = _two_layers(weights, "weight", weight)
    if relu_after_weight:
        importance = tf.nn.relu(importance)
    return scores, importance + LEAST_WEIGHT


def _two_layers(weights: NetworkWeights, kind: str, projected: tf.Tensor) -> tf.Tensor:
    hidden = tf.nn.relu(projected + weights[f"fc1_{kind}/bias"])
    return tf.linalg.matvec(hidden, weights[f"fc2_{kind}/kernel"][:, 0]) + weights[f"fc2_{kind}/bias"]
