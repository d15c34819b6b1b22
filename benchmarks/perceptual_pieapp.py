"""What an attack that keeps PieAPP small pays for it: time and memory, at 299 x 299.

    python benchmarks/perceptual_pieapp.py            PieAPP at its published size and pieapp-mini
    python benchmarks/perceptual_pieapp.py --quick    pieapp-mini only, once: does it run, not how fast

The network that is attacked is MobileNetV2, with random weights; so are PieAPP's, whose official ones are not
part of this project. Neither time nor memory depends on them. "Bare" is one compiled gradient of the
cross-entropy plus one compiled gradient of the distance with the reference cached and all patches in one
chunk. Each line is the median over interleaved repeats of "ours / theirs", with the least and the greatest,
in wall time and in processor time of all threads. Peak memory is that of a process that computes one gradient
at stride "dense" (pieapp-mini, 1,600 patches) or "sparse" (PieAPP, 81 patches).
"""

import argparse
import functools
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

from bioattack.cli.common import prepare_tensorflow

prepare_tensorflow()

import numpy as np
import tensorflow as tf
from ratio import interleave, make_ratio, print_head, print_rows

from bioattack.attacks.request import AttackRequest
from bioattack.attacks.run import attack_images
from bioattack.classifier import load_classifier
from bioattack.distances.pieapp import PieApp
from bioattack.distances.pieapp_mini import PieAppMini
from bioattack.distances.pieapp_network import PUBLISHED_DESIGN
from bioattack.models.registry import build_model
from bioattack.testing.made_up_pieapp import random_pieapp_weights

SIZE, NUM_CLASSES = 299, 1000
NUM_PATCHES = 81
# Images at a time, and the steps of a short and of a long attack, whose difference is what steps cost.
WORK = {"pieapp-mini": (4, 2, 10), "pieapp": (1, 2, 4)}
CHUNKS = {"pieapp-mini": (25, 100, 400, 1600), "pieapp": (9, 27, 81)}


def main() -> None:
    """Measures everything and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="pieapp-mini only, once")
    parser.add_argument("--only", choices=tuple(WORK), help="only this distance")
    parser.add_argument("--repeats", type=int, default=5, help="interleaved repeats of each pair")
    parser.add_argument("--peak", nargs=2, metavar=("NAME", "CHUNK"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        _one_gradient(arguments.peak[0], int(arguments.peak[1]))
        return
    repeats = 1 if arguments.quick else arguments.repeats
    print_head()
    for name in WORK:
        if arguments.only in (None, name) and not (arguments.quick and name == "pieapp"):
            _tell_times(name, repeats)
    for name in WORK:
        if arguments.only in (None, name) and not (arguments.quick and name == "pieapp"):
            _tell_memory(name)


@functools.cache
def _distance(name: str, chunk_size: int | None = None, stride: str = "sparse") -> PieApp:
    options: dict[str, Any] = {"stride": stride}
    if chunk_size is not None:
        options["chunk_size"] = chunk_size
    if name == "pieapp-mini":
        return PieAppMini(**options)
    return PieApp(_published_weights(), **options)


@functools.cache
def _published_weights() -> Any:
    return random_pieapp_weights(PUBLISHED_DESIGN)


def _pictures(number: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    coarse = tf.image.resize(random.uniform(size=(number, 12, 12, 3)), (SIZE, SIZE), "bicubic").numpy()
    reference = np.clip(coarse, 0, 1).astype(np.float32)
    noise = 0.02 * random.normal(size=reference.shape)
    return reference, np.clip(reference + noise, 0, 1).astype(np.float32)


def _gradient(distance: PieApp, number: int) -> Callable[[], tf.Tensor]:
    """One gradient with respect to a batch of images, the references cached."""
    reference, images = (tf.constant(each) for each in _pictures(number))
    prepared = distance.prepare(reference)

    @tf.function(autograph=False)
    def gradient(images: tf.Tensor, prepared: Mapping[str, tf.Tensor]) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(images)
            values = distance.compare(dict(prepared), images)
        return tape.gradient(values, images)

    return lambda: gradient(images, prepared)


def _tell_times(name: str, repeats: int) -> None:
    number, few, many = WORK[name]
    whole = number * NUM_PATCHES
    network = build_model("mobilenet_v2", image_shape=(SIZE, SIZE, 3), num_classes=NUM_CLASSES, seed=0)
    classifier = load_classifier(network)
    images, _ = _pictures(number)
    labels = classifier.logits(images).numpy().argmax(1).astype(np.int64)

    @tf.function(autograph=False)
    def model_gradient(images: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(images)
            logits = network(images, training=False)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        return tape.gradient(losses, images)

    # No lead is large enough: all steps are made.
    requests = {
        steps: AttackRequest(
            "lagrangian", distance=_distance(name), num_steps=steps, confidence=1e6, step_length=1e-3
        )
        for steps in (few, many)
    }
    works: dict[str, Callable[[], Any]] = {
        "short": lambda: attack_images(classifier, images, labels, requests[few], batch_size=number),
        "long": lambda: attack_images(classifier, images, labels, requests[many], batch_size=number),
        "model": lambda: model_gradient(tf.constant(images)),
        "distance": _gradient(_distance(name, whole), number),
        "default": _gradient(_distance(name), number),
        "chunks": _gradient(_distance(name, 27), number),
    }
    times = interleave(works, repeats)
    times["step"] = [
        [(long - short) / (many - few) for long, short in zip(*pair, strict=True)]
        for pair in zip(times["long"], times["short"], strict=True)
    ]
    print_rows(
        make_ratio(
            f"{name}, {number} images: attack step / bare", times, "step", ("model", "distance"), "<= 1.15"
        ),
        make_ratio(f"{name}: gradient, default chunk / one chunk", times, "default", "distance"),
        make_ratio(f"{name}: gradient, chunks of 27 patches / one chunk", times, "chunks", "distance"),
        make_ratio(f"{name}: gradient / gradient of MobileNetV2", times, "distance", "model"),
    )
    seconds = {work: statistics.median(each[1]) / number for work, each in times.items()}
    print(
        f"{name}: seconds of processor time for one image: gradient of the distance "
        f"{seconds['distance']:.3f}, of MobileNetV2 {seconds['model']:.3f}",
        file=sys.stderr,
        flush=True,
    )


# --- memory ---


def _tell_memory(name: str) -> None:
    peaks = {chunk: _peak(name, chunk) for chunk in (0, *CHUNKS[name])}
    for chunk in CHUNKS[name]:
        more = (peaks[chunk] - peaks[0]) / 1024
        print(f"{name}: MiB of one gradient, chunks of {chunk:4} patches: {more:6.0f}", flush=True)


def _peak(name: str, chunk: int) -> int:
    """The greatest resident size, in KiB, of a process that computes one gradient; chunk 0: none."""
    # Through a small process: a child's peak begins with the size of the process that started it.
    code = (
        "import resource, subprocess, sys;"
        "subprocess.run(sys.argv[1:], check=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = [sys.executable, "-c", code, sys.executable, __file__, "--peak", name, str(chunk)]
    said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
    return int(said) // (1024 if sys.platform == "darwin" else 1)


def _one_gradient(name: str, chunk: int) -> None:
    stride = "dense" if name == "pieapp-mini" else "sparse"
    distance = _distance(name, chunk or 1, stride)
    if chunk:
        _gradient(distance, 1)()


if __name__ == "__main__":
    main()
