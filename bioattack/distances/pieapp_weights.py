"""PieAPP's weights, from the official PyTorch and TensorFlow files and from files of our own."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from bioattack.distances.numpy_files import read_numpy_archive
from bioattack.distances.pieapp_network import PUBLISHED_DESIGN, TAPS, PieAppDesign
from bioattack.distances.torch_files import read_torch_file

# Beginnings of our names, and what the official files call the same.
_TORCH_NAMES = {name: name for name in ("fc1_score", "fc2_score", "fc1_weight", "fc2_weight")}
_TENSORFLOW_NAMES = {"fc1_score": "fc1", "fc2_score": "fc2", "fc1_weight": "fc1w", "fc2_weight": "fc2w"}


@dataclasses.dataclass(frozen=True)
class PieAppWeights:
    """Weights of a network of the PieAPP kind.

    Args:
        arrays: As ``PieAppDesign.shapes`` names and shapes them.
        design: How wide the network is.
        relu_after_weight: Whether patch weights below 0 count as 0, see ``score_patches``.

    Raises:
        ValueError: If a name or shape is not the design's, or a number is not finite.
    """

    arrays: Mapping[str, np.ndarray]
    design: PieAppDesign
    relu_after_weight: bool

    def __post_init__(self) -> None:
        """Checks the arrays."""
        shapes = self.design.shapes()
        if unknown := sorted(set(self.arrays) ^ set(shapes)):
            raise ValueError(f"arrays must be named as the design says. Missing or unknown: {unknown[0]}")
        for name, shape in shapes.items():
            if self.arrays[name].shape != shape:
                raise ValueError(
                    f"{name} must have the shape {shape}. Received: shape {self.arrays[name].shape}"
                )
            if not np.isfinite(self.arrays[name]).all():
                raise ValueError(f"{name} must be finite everywhere")


def load_pieapp_weights(path: str | Path, *, design: PieAppDesign = PUBLISHED_DESIGN) -> PieAppWeights:
    """Loads weights.

    Args:
        path: The official ``PieAPPv0.1.pth``; the prefix of the official TensorFlow checkpoint,
            ``PieAPP_model_v0.1.ckpt``, whose three files lie side by side; or an ``.npz`` of
            ``save_pieapp_weights``.
        design: What the official files are to hold; an ``.npz`` says it itself.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is of another kind, or holds other names or shapes.
    """
    path = Path(path)
    try:
        if path.suffix == ".npz":
            return _load_own(path)
        if path.suffix in (".pth", ".pt"):
            return _from_torch(read_torch_file(path), design)
        prefix = path.with_suffix("") if path.suffix in (".index", ".meta") else path
        if prefix.with_name(prefix.name + ".index").is_file():
            return _from_tensorflow(str(prefix), design)
    except ValueError as error:
        raise ValueError(f"{path} holds no weights of PieAPP: {error}") from error
    raise FileNotFoundError(
        f"there is no PyTorch file (.pth), TensorFlow checkpoint or .npz with weights of PieAPP at {path}"
    )


def save_pieapp_weights(path: str | Path, weights: PieAppWeights) -> None:
    """Writes weights to an ``.npz``, which loads without conversion."""
    content: dict[str, Any] = {
        "first_stride": np.array(weights.design.first_stride),
        "relu_after_weight": np.array(weights.relu_after_weight),
        **weights.arrays,
    }
    np.savez_compressed(path, **content)


def _load_own(path: Path) -> PieAppWeights:
    arrays = read_numpy_archive(path)
    try:
        first_stride, relu = int(arrays.pop("first_stride")), bool(arrays.pop("relu_after_weight"))
        widths = tuple(arrays[f"conv{number}/bias"].shape[0] for number in range(1, TAPS[-1] + 1))
        hidden = arrays["fc2_score/kernel"].shape[0]
    except KeyError as error:
        raise ValueError(f"it lacks {error.args[0]}") from error
    floats = {name: value.astype(np.float32) for name, value in arrays.items()}
    return PieAppWeights(floats, PieAppDesign(widths, hidden, first_stride), relu)


def _from_torch(arrays: Mapping[str, np.ndarray], design: PieAppDesign) -> PieAppWeights:
    """PyTorch keeps kernels as OIHW and (out, in), and flattens C, H, W."""
    side, channels = design.taps[-1]

    def convert(name: str) -> np.ndarray:
        layer, _, kind = name.partition("/")
        if layer == "reference":
            part = {"scale": "weight", "offset": "bias"}[kind]
            return _take(arrays, f"ref_score_subtract.{part}").reshape(-1)
        layer = _TORCH_NAMES.get(layer, layer)
        if kind == "bias":
            return _take(arrays, f"{layer}.bias")
        kernel = _take(arrays, f"{layer}.weight")
        if layer.startswith("conv"):
            return kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel
        taps = {"fc1_score": design.taps, "fc1_weight": ((side, channels),)}.get(layer)
        return kernel.T if taps is None else _channels_last(kernel, taps)

    return _collect(convert, design, relu_after_weight=False)


def _from_tensorflow(prefix: str, design: PieAppDesign) -> PieAppWeights:
    try:
        reader = tf.train.load_checkpoint(prefix)
        arrays = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    except (tf.errors.OpError, RuntimeError) as error:
        raise ValueError(f"TensorFlow cannot read it: {error}") from error

    def convert(name: str) -> np.ndarray:
        layer, _, kind = name.partition("/")
        if layer == "reference":
            offset = -_take(arrays, "scores/refscore").reshape(-1)
            return offset if kind == "offset" else np.ones_like(offset)
        part = {"kernel": "weights", "bias": "biases"}[kind]
        return _take(arrays, f"{_TENSORFLOW_NAMES.get(layer, layer)}/{part}")

    return _collect(convert, design, relu_after_weight=True)


def _collect(
    convert: Callable[[str], np.ndarray], design: PieAppDesign, *, relu_after_weight: bool
) -> PieAppWeights:
    arrays = {name: np.ascontiguousarray(convert(name), np.float32) for name in design.shapes()}
    return PieAppWeights(arrays, design, relu_after_weight)


def _take(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in arrays:
        raise ValueError(f"it lacks {name}")
    return arrays[name]


def _channels_last(kernel: np.ndarray, taps: tuple[tuple[int, int], ...]) -> np.ndarray:
    """Turns a kernel (out, in), tap by tap from C, H, W, into (in, out) in the order H, W, C."""
    ends = np.cumsum([side * side * channels for side, channels in taps])
    if kernel.ndim != 2 or kernel.shape[1] != ends[-1]:
        return kernel.T
    blocks = np.split(kernel, ends[:-1], axis=1)
    return np.concatenate(
        [
            block.reshape(-1, channels, side, side).transpose(2, 3, 1, 0).reshape(-1, len(kernel))
            for block, (side, channels) in zip(blocks, taps, strict=True)
        ]
    )
