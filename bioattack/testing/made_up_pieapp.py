"""PieAPP networks with random weights, the files that would hold them, and a second way to run them."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from bioattack.distances.pieapp_network import TAPS, PieAppDesign
from bioattack.distances.pieapp_weights import PieAppWeights

NARROW_DESIGN = PieAppDesign((4, 3, 2, 3, 2, 3, 4, 3, 2, 4, 3), 6)
_TENSORFLOW_NAMES = {"fc1_score": "fc1", "fc2_score": "fc2", "fc1_weight": "fc1w", "fc2_weight": "fc2w"}


def random_pieapp_weights(
    design: PieAppDesign, *, seed: int = 0, relu_after_weight: bool = False
) -> PieAppWeights:
    """Draws weights with which patches get scores and weights of ordinary size, of both signs."""
    random = np.random.default_rng(seed)
    arrays = {}
    for name, shape in design.shapes().items():
        spread = float(np.sqrt(2 / np.prod(shape[:-1]))) if name.endswith("kernel") else 0.1
        arrays[name] = spread * random.standard_normal(shape, np.float32)
    arrays["conv1/kernel"] /= 255
    arrays["fc2_score/kernel"] *= 100
    arrays["fc2_weight/bias"] += 2
    arrays["reference/scale"] += 1
    return PieAppWeights(arrays, design, relu_after_weight)


def as_official_torch_arrays(weights: PieAppWeights) -> dict[str, np.ndarray]:
    """Names, shapes and order of features as in the official ``PieAPPv0.1.pth``."""
    arrays = {}
    for name, value in weights.arrays.items():
        layer, _, kind = name.partition("/")
        if layer == "reference":
            arrays[f"ref_score_subtract.{'weight' if kind == 'scale' else 'bias'}"] = value
        elif kind == "bias":
            arrays[f"{layer}.bias"] = value
        elif layer.startswith("conv"):
            arrays[f"{layer}.weight"] = np.ascontiguousarray(value.transpose(3, 2, 0, 1))
        else:
            taps = {"fc1_score": weights.design.taps, "fc1_weight": weights.design.taps[-1:]}.get(layer, ())
            arrays[f"{layer}.weight"] = np.ascontiguousarray(value[_channels_first(taps, len(value))].T)
    return arrays


def write_official_checkpoint(prefix: Path, weights: PieAppWeights) -> Path:
    """Writes a TensorFlow checkpoint named as the official one; the scale of the score must be 1."""
    tensors = {"scores/refscore": -weights.arrays["reference/offset"]}
    for name, value in weights.arrays.items():
        layer, _, kind = name.partition("/")
        if layer != "reference":
            part = "weights" if kind == "kernel" else "biases"
            tensors[f"{_TENSORFLOW_NAMES.get(layer, layer)}/{part}"] = value
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(tensors),
        shape_and_slices=[""] * len(tensors),
        tensors=[tf.constant(value) for value in tensors.values()],
    )
    return prefix


def numpy_patch_values(
    weights: PieAppWeights, reference: np.ndarray, image: np.ndarray
) -> tuple[float, float]:
    """Score and weight of one patch, ``(64, 64, 3)`` RGB in [0, 1] each, from the published description."""
    features, others = (_features(weights, patch) for patch in (reference, image))
    differences = np.concatenate([one - other for one, other in zip(features, others, strict=True)])
    arrays = {name: np.float64(value) for name, value in weights.arrays.items()}

    def dense(values: np.ndarray, name: str) -> np.ndarray:
        return values @ arrays[f"{name}/kernel"] + arrays[f"{name}/bias"]

    score = 0.01 * dense(np.maximum(dense(differences, "fc1_score"), 0), "fc2_score")
    score = arrays["reference/scale"] * score + arrays["reference/offset"]
    weight = dense(np.maximum(dense(features[-1] - others[-1], "fc1_weight"), 0), "fc2_weight")
    weight = np.maximum(weight, 0) if weights.relu_after_weight else weight
    return float(score[0]), float(weight[0]) + 1e-6


def _features(weights: PieAppWeights, patch: np.ndarray) -> list[np.ndarray]:
    values, found = 255.0 * patch[..., ::-1], []
    for number in range(1, 12):
        kernel = np.float64(weights.arrays[f"conv{number}/kernel"])
        padded = np.pad(values, ((1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
        values = np.einsum("yxcij,ijco->yxo", windows, kernel, optimize=True)
        values = np.maximum(values + weights.arrays[f"conv{number}/bias"], 0)
        if number in TAPS:
            found.append(values.reshape(-1))
        if number % 2 == 0:
            height, width, channels = values.shape
            values = values.reshape(height // 2, 2, width // 2, 2, channels).max((1, 3))
    return found


def _channels_first(taps: tuple[tuple[int, int], ...], length: int) -> np.ndarray:
    """Which of our rows comes at each place where channels come first, tap by tap."""
    if not taps:
        return np.arange(length)
    order, start = [], 0
    for side, channels in taps:
        block = np.arange(side * side * channels).reshape(side, side, channels)
        order.append(start + block.transpose(2, 0, 1).reshape(-1))
        start += block.size
    return np.concatenate(order)
