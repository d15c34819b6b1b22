"""Speed of the Newton step of structural similarity, against itself at other sizes and a network's gradient.

    python benchmarks/perceptual.py                      pictures that it draws itself
    python benchmarks/perceptual.py --realdata FOLDER    digits of MNIST and photographs of ImageNet
    python benchmarks/perceptual.py --quick              small pictures: does it run, not how fast

Each line is the median over interleaved repeats of "ours / theirs", with the least and the greatest. Wall
time is what the goals are about; processor time, of all threads, is steadier where other programs run too.
The time per value is that of a whole solution, which takes as many iterations as the pictures need: they are
printed first. ResNet-18 is the project's own, of the published width, one picture, forwards and backwards.

A picture of 299 x 299 pixels in one channel has a Hessian of 89,401 rows: 64 GB in float64, and 575 GB for
its three channels as one matrix in float64.
"""

import argparse
import io
import os
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bioattack.cli.common import prepare_tensorflow

prepare_tensorflow()

import numpy as np
import tensorflow as tf
from PIL import Image
from ratio import Ratio, interleave, make_ratio, print_head, print_rows

from bioattack.attacks.ssim_solver import NewtonSolution, newton_directions
from bioattack.models.resnet18 import resnet18

SMALL, NUM_SMALL = 28, 64


def main() -> None:
    """Measures everything and prints the table."""
    arguments = _parse()
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, TensorFlow {tf.__version__}", file=sys.stderr
    )
    sizes = (64, 128) if arguments.quick else (299, 1024)
    print_head()
    for size in sizes:
        print_rows(*_rows(arguments, size, repeats=2 if arguments.quick else arguments.repeats))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--realdata", type=Path, help="folder with mnist/ and imagenet/")
    parser.add_argument("--repeats", type=int, default=5, help="interleaved repeats of each pair")
    parser.add_argument("--quick", action="store_true", help="small pictures and few repeats")
    return parser.parse_args()


def _rows(arguments: argparse.Namespace, size: int, *, repeats: int) -> list[Ratio]:
    subjects = _pictures(arguments.realdata, size)
    large = f"{size} x {size} x 3"
    # As often as it takes to solve for as many values: where other programs run too, short pieces of work
    # slip between them and long ones do not.
    numbers = {name: max(1, round(subjects[large].size / images.size)) for name, images in subjects.items()}
    works: dict[str, Callable[[], Any]] = {
        name: _solver(name, images, number=numbers[name]) for name, images in subjects.items()
    }
    works["gradient"] = _network_gradient(subjects[large])
    times = interleave(works, repeats)
    rows = []
    for name, images in subjects.items():
        factor = subjects[large].size / (numbers[name] * images.size)
        what = f"Newton step, {large} / {name}, per value"
        rows += [make_ratio(what, times, large, name, "<= 2", factor=factor)] if name != large else []
    what = f"Newton step / gradient of ResNet-18, {large}"
    return [*rows, make_ratio(what, times, large, "gradient", "<= 3")]


def _solver(name: str, images: np.ndarray, *, number: int) -> Callable[[], NewtonSolution]:
    """Gives a function that solves for the pictures so many times; once at once, to say what that takes."""
    gradients = np.random.default_rng(0).normal(size=images.shape).astype(np.float32)
    tensors = tf.constant(images), tf.constant(gradients)
    solve = tf.function(lambda images, gradients: newton_directions(images, gradients), autograph=False)

    def work() -> NewtonSolution:
        for _ in range(number):
            solution: NewtonSolution = solve(*tensors)
        solution.residuals.numpy()
        return solution

    numbers = solve(*tensors).num_iterations.numpy()
    middle, most = int(np.median(numbers)), numbers.max()
    print(f"{name}: {middle} iterations in the middle, {most} at most", file=sys.stderr)
    return work


def _network_gradient(images: np.ndarray) -> Callable[[], np.ndarray]:
    """Gives a function that differentiates ResNet-18 with respect to the pictures once."""
    network = resnet18(images.shape[1:], 1000, augmentation="none", seed=0)
    tensor = tf.constant(images)

    @tf.function(autograph=False)
    def gradient(images: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(images)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits([0], network(images, training=False))
        return tape.gradient(losses, images)

    def work() -> np.ndarray:
        return np.asarray(gradient(tensor))

    work()
    return work


def _pictures(folder: Path | None, size: int) -> Mapping[str, np.ndarray]:
    """One large picture, and batches of small ones: digits, and photographs like the large one."""
    photographs = _photographs(folder)
    digits = _digits(folder)
    small = [_resized(photographs[place % len(photographs)], SMALL) for place in range(NUM_SMALL)]
    return {
        f"{NUM_SMALL} digits {SMALL} x {SMALL}": digits,
        f"{NUM_SMALL} photographs {SMALL} x {SMALL} x 3": np.stack(small),
        f"{size} x {size} x 3": _resized(photographs[0], size)[None],
    }


def _resized(image: Image.Image, size: int) -> np.ndarray:
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC)) / np.float32(255)


def _photographs(folder: Path | None) -> list[Image.Image]:
    if folder is None:
        return [_drawn_photograph(np.random.default_rng(seed)) for seed in range(8)]
    with zipfile.ZipFile(folder / "imagenet" / "nips2017_dev80.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".png"))[:8]
        return [Image.open(io.BytesIO(archive.read(name))).convert("RGB") for name in names]


def _drawn_photograph(random: np.random.Generator) -> Image.Image:
    """Plain and busy parts at several scales, as photographs have them."""
    total = np.zeros((299, 299, 3))
    for cells in (3, 6, 24, 150):
        coarse = Image.fromarray(random.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        total += np.asarray(coarse.resize((299, 299), Image.Resampling.BICUBIC)) / cells**0.7
    busy = np.linspace(0, 1, 299)[:, None, None] * random.normal(0, 20, total.shape)
    total = 255 * (total - total.min()) / np.ptp(total) + np.maximum(busy, 0)
    return Image.fromarray(np.clip(total, 0, 255).astype(np.uint8))


def _digits(folder: Path | None) -> np.ndarray:
    if folder is not None:
        with np.load(folder / "mnist" / "mnist.npz") as archive:
            return archive["x_test"][:NUM_SMALL, ..., None] / np.float32(255)
    rows, columns = np.mgrid[0:SMALL, 0:SMALL]
    middles = [14 + 6 * np.sin(rows / (3 + place % 7) + place) for place in range(NUM_SMALL)]
    strokes = np.clip([2 - np.abs(columns - middle) for middle in middles], 0, 1)
    return (strokes * ((rows > 4) & (rows < 24)))[..., None].astype(np.float32)


if __name__ == "__main__":
    main()
