"""Trunks with random weights, and a second way to run them."""

from collections.abc import Mapping

import numpy as np

from bioattack.distances.trunks import TORCHVISION_COLOURS, TrunkDesign


def random_trunk_arrays(design: TrunkDesign, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Draws kernels and biases with which activations keep their size."""
    random = np.random.default_rng(seed)
    arrays = {}
    for layer, shape in design.shapes().items():
        spread = float(np.sqrt(2 / np.prod(shape[:-1])))
        arrays[f"{layer}/kernel"] = spread * random.standard_normal(shape, np.float32)
        arrays[f"{layer}/bias"] = np.float32(0.1) * random.standard_normal(shape[-1:], np.float32)
    return arrays


def as_torchvision_arrays(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same as torchvision names and shapes them."""
    return {
        name.replace("/kernel", ".weight").replace("/bias", ".bias"): (
            np.ascontiguousarray(value.transpose(3, 2, 0, 1)) if value.ndim == 4 else value
        )
        for name, value in arrays.items()
    }


def numpy_taps(design: TrunkDesign, arrays: Mapping[str, np.ndarray], image: np.ndarray) -> list[np.ndarray]:
    """Feature maps of one image ``(height, width, 3)`` in float64, place by place."""
    mean, spread = np.array(TORCHVISION_COLOURS.mean), np.array(TORCHVISION_COLOURS.spread)
    values, found = (image - mean) / spread, []
    for step in design.steps:
        if step.kind == "tap":
            found.append(values)
        elif step.kind == "pool":
            values = _pooled(values, design)
        elif step.kind == "fire":
            values = _convolved(values, arrays, f"{step.name}.squeeze", 1, 0)
            parts = [
                _convolved(values, arrays, f"{step.name}.expand{size}x{size}", 1, size // 2)
                for size in (1, 3)
            ]
            values = np.concatenate(parts, -1)
        else:
            values = _convolved(values, arrays, step.name, step.stride, step.padding)
    return found


def _convolved(
    values: np.ndarray, arrays: Mapping[str, np.ndarray], name: str, stride: int, padding: int
) -> np.ndarray:
    kernel = np.asarray(arrays[f"{name}/kernel"], np.float64)
    padded = np.pad(values, ((padding, padding), (padding, padding), (0, 0)))
    size = kernel.shape[0]
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(0, 1))
    sums = np.einsum("yxcij,ijco->yxo", windows[::stride, ::stride], kernel, optimize=True)
    return np.maximum(sums + arrays[f"{name}/bias"], 0)


def _pooled(values: np.ndarray, design: TrunkDesign) -> np.ndarray:
    """Maxima of windows two pixels apart, of what of them lies inside."""
    size = design.pool_size
    rows, columns = (
        [start for start in range(0, length, 2) if start + size <= length or _counts(start, length, design)]
        for length in values.shape[:2]
    )
    return np.stack(
        [
            np.stack([values[row : row + size, column : column + size].max((0, 1)) for column in columns])
            for row in rows
        ]
    )


def _counts(start: int, length: int, design: TrunkDesign) -> bool:
    """Whether a window beyond the rim counts: in ceiling mode, where the one before leaves pixels over."""
    return design.pools_rim and start + design.pool_size - 2 < length
