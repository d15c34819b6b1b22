"""From the free numbers of a localisation network to the matrices of a spatial transformer."""

import math
from typing import Any

import keras
from keras import ops

from bioattack.models.layers.gaze import FIXATION_COUNTS, gaze_grid

_NUM_PARAMETERS = {"affine": 6, "attention": 4, "attention_isotropic": 3}
TRANSFORM_KINDS = tuple(_NUM_PARAMETERS)

# Where the windows of several branches start: their scale, and how far from the centre the outer ones are.
_SHIFT = 0.3
_SCALE, _SCALE_OF_ONE = 0.7, 0.95
# Beyond this tanh hardly has a slope that could bring a window back from the border.
_LARGEST_TANH = 0.9


def num_parameters(kind: str) -> int:
    """Returns how many numbers describe one transform.

    Args:
        kind: ``"affine"``, ``"attention"`` or ``"attention_isotropic"``, see ``Transforms``.

    Raises:
        ValueError: If there is no such kind.

    >>> [num_parameters(kind) for kind in TRANSFORM_KINDS]
    [6, 4, 3]
    """
    if kind not in _NUM_PARAMETERS:
        raise ValueError(
            f"transform must be one of {', '.join(TRANSFORM_KINDS)}; rotation and shear are part of affine "
            f"alone. Received: transform={kind!r}"
        )
    return _NUM_PARAMETERS[kind]


def initial_windows(num_branches: int) -> list[tuple[float, float, float]]:
    """Gives the windows that the branches of a parallel transformer start with, each one different.

    Branches that start alike and share a classifier would stay alike. Five begin in the centre and near the
    corners, nine on a grid of three by three, three on a diagonal, in the order of ``gaze_grid``; one sees
    nearly all of the image.

    Args:
        num_branches: 1, 3, 5 or 9.

    Returns:
        For each branch its scale and shift: ``(s, t_x, t_y)`` in halves of the image.

    Raises:
        ValueError: If there is no start for so many.

    >>> initial_windows(3)
    [(0.7, 0.0, 0.0), (0.7, 0.3, -0.3), (0.7, -0.3, 0.3)]
    """
    if isinstance(num_branches, bool) or num_branches not in FIXATION_COUNTS:
        raise ValueError(
            f"num_branches must be one of {', '.join(map(str, FIXATION_COUNTS))}. "
            f"Received: num_branches={num_branches!r}"
        )
    scale = _SCALE_OF_ONE if num_branches == 1 else _SCALE
    return [(scale, x, y) for y, x in gaze_grid(num_branches, _SHIFT)]


def initial_parameters(kind: str, num_branches: int, *, smallest_scale: float = 0.2) -> list[float]:
    """Gives the bias of a localisation network's last layer, so that branches start with their windows.

    Affine branches start at exactly those of ``initial_windows`` (one branch: at the identity); attention
    cannot reach the border, so its outer windows start at a shift of 0.27 in place of 0.3.

    Args:
        kind: See ``Transforms``.
        num_branches: 1, 3, 5 or 9.
        smallest_scale: As ``Transforms`` has it.

    Returns:
        ``num_branches * num_parameters(kind)`` numbers.

    Raises:
        ValueError: If an argument is out of its range.

    >>> initial_parameters("affine", 1)
    [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    """
    num_parameters(kind)
    _check_scale(smallest_scale)
    parameters: list[float] = []
    for scale, x, y in initial_windows(num_branches):
        if kind == "affine":
            size = 1.0 if num_branches == 1 else scale
            parameters += [size, 0.0, x, 0.0, size, y]
            continue
        scale = max(scale, (1 + smallest_scale) / 2)
        size = math.log((scale - smallest_scale) / (1 - scale))
        x, y = (_inverse_tanh(shift / (1 - scale)) for shift in (x, y))
        parameters += [size, x, size, y] if kind == "attention" else [size, x, y]
    return parameters


def _inverse_tanh(value: float) -> float:
    return math.atanh(max(-_LARGEST_TANH, min(_LARGEST_TANH, value)))


def _check_scale(smallest_scale: object) -> None:
    if not isinstance(smallest_scale, float) or not 0 < smallest_scale < 1:
        raise ValueError(
            f"smallest_scale must be a number between 0 and 1. Received: smallest_scale={smallest_scale!r}"
        )


@keras.saving.register_keras_serializable(package="bioattack")
class Transforms(keras.layers.Layer):
    """Turns the numbers of a localisation network into matrices, one for each branch.

    - ``"affine"``: the six numbers are the matrix, row by row; windows may leave the image.
    - ``"attention"``: four numbers for ``[[s_x, 0, t_x], [0, s_y, t_y]]``, in the order s_x, t_x, s_y, t_y.
    - ``"attention_isotropic"``: three, s, t_x, t_y, where both scales are s.

    The free numbers ``z`` of attention become ``s = smallest + (1 - smallest) sigmoid(z)`` and
    ``t = (1 - s) tanh(z)``. So ``|t| + s <= 1``: the window never leaves the image nor turns over, and no
    other clamp is needed.

    Args:
        kind: One of the three.
        num_branches: Transforms for each image, 1 or more.
        smallest_scale: Of attention: the smallest window, as a fraction of the image's side, in (0, 1).

    Call arguments:
        parameters: ``(batch, num_branches * num_parameters(kind))``, float, any value; branch by branch.

    Returns:
        ``(batch, num_branches, 2, 3)`` for ``AffineSampling``; float32 under mixed precision too, where
        the parameters are.

    Raises:
        ValueError: If an argument is out of its range, or there are not as many parameters as needed.

    Gradient:
        With respect to the parameters.

    Source:
        Burhanpurkar 2021, section 2.4 (affine and attention, parallel); Jaderberg et al. 2015, equations 1
        and 2. The squashing is this project's.

    >>> matrices = Transforms(kind="affine", num_branches=1)(ops.convert_to_tensor([[1.0, 0, 0, 0, 1, 0]]))
    >>> ops.convert_to_numpy(matrices).tolist()
    [[[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]]
    """

    def __init__(
        self,
        *,
        kind: str = "attention",
        num_branches: int = 5,
        smallest_scale: float = 0.2,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        num_parameters(kind)
        _check_scale(smallest_scale)
        if isinstance(num_branches, bool) or not isinstance(num_branches, int) or num_branches < 1:
            raise ValueError(
                f"num_branches must be an integer of 1 or more. Received: num_branches={num_branches!r}"
            )
        self.kind = kind
        self.num_branches = num_branches
        self.smallest_scale = smallest_scale

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Checks that there are as many numbers as the branches need."""
        number = num_parameters(self.kind)
        if len(input_shape) != 2 or input_shape[1] != self.num_branches * number:
            raise ValueError(
                f"parameters must be (batch, {self.num_branches * number}), {number} for each of "
                f"{self.num_branches} branches. Received: input_shape={input_shape}"
            )
        super().build(input_shape)

    def call(self, parameters: Any) -> Any:
        """Returns the matrices."""
        number = num_parameters(self.kind)
        numbers = ops.reshape(parameters, (-1, self.num_branches, number))
        if self.kind != "affine":
            numbers = self._squash(numbers)
        return ops.reshape(numbers, (-1, self.num_branches, 2, 3))

    def _squash(self, numbers: Any) -> Any:
        """The six entries of attention's matrices, from its free numbers."""
        is_isotropic = self.kind == "attention_isotropic"
        scales = numbers[..., 0:1] if is_isotropic else numbers[..., 0::2]
        shifts = numbers[..., 1:3] if is_isotropic else numbers[..., 1::2]
        scales = self.smallest_scale + (1.0 - self.smallest_scale) * ops.sigmoid(scales)
        scales = ops.broadcast_to(scales, ops.shape(shifts))
        shifts = (1.0 - scales) * ops.tanh(shifts)
        zeros = ops.zeros_like(scales[..., 0])
        x_row = [scales[..., 0], zeros, shifts[..., 0]]
        y_row = [zeros, scales[..., 1], shifts[..., 1]]
        return ops.stack([*x_row, *y_row], axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """A matrix for each branch."""
        return (input_shape[0], self.num_branches, 2, 3)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the layer."""
        return {
            **super().get_config(),
            "kind": self.kind,
            "num_branches": self.num_branches,
            "smallest_scale": self.smallest_scale,
        }
