"""Speed of the warp beside other samplers, and what it and the branches cost in a step of training.

    python benchmarks/warp.py                    a quarter of an hour on two cores
    python benchmarks/warp.py --full             stn and multi_gaze at 320 pixels as well
    python benchmarks/warp.py --quick            small batches and few repeats: does it run, not how fast
    python benchmarks/warp.py --only sampling    one part of it

Each line is the median over interleaved repeats of "ours / theirs", with the least and the greatest. Wall
time is what the goals are about; processor time, of all threads, is steadier where other programs run too.
All run in ``tf.function``; none but our sampler is compiled with XLA.

    sampling    a retinal warp of 16 x 320 x 320 x 3, each image at a gaze of its own: ours, the layer, beside
                the same positions read with tf.gather_nd and with keras.ops.image.map_coordinates
    share       what the warp takes of a step of training of ``retinal`` at 320 pixels
    reference   tensorflow-addons' sampler beside tf.gather_nd, in the environment of ``make reference``
    branches    a step of training of ``stn`` and ``multi_gaze`` with one shared classifier, beside the sum of
                its parts run bare: the localisation network on the batch, one ResNet on five times the batch;
                and with the gradients of that one going back to its images, as those of the branches must
"""

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bioattack.cli.common import prepare_tensorflow

prepare_tensorflow()

import keras
import numpy as np
import tensorflow as tf
from ratio import Times, interleave, make_ratio, print_head, print_rows
from warp_peers import sample_with_gather_nd

from bioattack.models.backbones import Backbone
from bioattack.models.layers.bilinear_sampling import sample_bilinearly
from bioattack.models.layers.retinal_sampling import RetinalSampling
from bioattack.models.registry import build_model

SIZE, NUM_CLASSES, NUM_BRANCHES = 320, 10, 5
REFERENCE_PYTHON = Path(__file__).resolve().parent.parent / ".venv-reference" / "bin" / "python"
PARTS = ("sampling", "share", "reference", "branches")


def main() -> None:
    """Measures everything and prints the table."""
    arguments = _parse()
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f}, TensorFlow {tf.__version__}", file=sys.stderr)
    print_head()
    parts = {
        "sampling": _measure_sampling,
        "share": _measure_share,
        "reference": _measure_reference,
        "branches": _measure_branches,
    }
    for part in arguments.only:
        parts[part](arguments)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="only these parts")
    parser.add_argument("--repeats", type=int, default=9, help="interleaved repeats")
    parser.add_argument("--full", action="store_true", help="stn and multi_gaze at 320 pixels as well")
    parser.add_argument("--quick", action="store_true", help="small batches and few repeats")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.repeats = 2
    return arguments


def _tell_seconds(times: Times) -> None:
    medians = (f"{name} {statistics.median(wall):.3f}" for name, (wall, _) in times.items())
    print("median seconds: " + ", ".join(medians), file=sys.stderr)


def _draw(batch_size: int, size: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Images, integer gazes as in training, and labels."""
    random = np.random.default_rng(0)
    images = random.uniform(size=(batch_size, size, size, 3)).astype(np.float32)
    gazes = random.integers(-(size // 4), size // 4, size=(batch_size, 2)).astype(np.float32)
    labels = random.integers(NUM_CLASSES, size=batch_size)
    return tf.constant(images), tf.constant(gazes), tf.constant(labels)


# --- the warp, beside other samplers ---

Warp = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def _measure_sampling(arguments: argparse.Namespace) -> None:
    images, gazes, _ = _draw(4 if arguments.quick else 16, SIZE)
    positions = RetinalSampling().source_positions(gazes, size=SIZE)
    samplers = {"ours": sample_bilinearly, "tf.gather_nd": sample_with_gather_nd}
    alone = {
        name: functools.partial(_run, tf.function(sampler, autograph=False), images, *positions)
        for name, sampler in samplers.items()
    }
    times = interleave(alone, arguments.repeats)
    print_rows(
        make_ratio("positions given, forward / tf.gather_nd", times, "ours", "tf.gather_nd", "<= 0.20")
    )
    for what, is_differentiated in (
        ("forward", (False, False)),
        ("gradient to images", (True, False)),
        ("gradient to gazes", (False, True)),
        ("gradient to both", (True, True)),
    ):
        works = {
            name: functools.partial(_run, _pass(warp, is_differentiated), images, gazes)
            for name, warp in _warps().items()
        }
        times = interleave(works, arguments.repeats)
        _tell_seconds(times)
        for name in list(works)[1:]:
            goal = "<= 0.20" if what == "forward" and name == "tf.gather_nd" else ""
            print_rows(make_ratio(f"retinal warp, {what} / {name}", times, "ours", name, goal))


def _warps() -> Mapping[str, Warp]:
    """The retinal warp with each of the samplers."""
    layer = RetinalSampling()

    def with_gather_nd(images: tf.Tensor, gazes: tf.Tensor) -> tf.Tensor:
        return sample_with_gather_nd(images, *layer.source_positions(gazes, size=SIZE))

    def with_map_coordinates(images: tf.Tensor, gazes: tf.Tensor) -> tf.Tensor:
        # A channel at a time: on a whole batch it would interpolate along all four axes, ten times slower.
        positions = tf.unstack(tf.stack(layer.source_positions(gazes, size=SIZE), axis=1))
        channels = [tf.unstack(image, axis=-1) for image in tf.unstack(images)]
        return tf.stack(
            [
                tf.stack([_map_coordinates(channel, where) for channel in image], axis=-1)
                for image, where in zip(channels, positions, strict=True)
            ]
        )

    return {
        "ours": layer,
        "tf.gather_nd": with_gather_nd,
        "keras.ops.image.map_coordinates": with_map_coordinates,
    }


def _map_coordinates(channel: tf.Tensor, where: tf.Tensor) -> tf.Tensor:
    return keras.ops.image.map_coordinates(channel, where, order=1, fill_mode="constant", fill_value=0.0)


def _pass(warp: Warp, is_differentiated: Sequence[bool]) -> Callable[..., Any]:
    """The warp, or the gradients of a loss of it with respect to images, gazes, or both."""

    @tf.function(autograph=False)
    def one_pass(images: tf.Tensor, gazes: tf.Tensor) -> Any:
        if not any(is_differentiated):
            return warp(images, gazes)
        sources = [value for value, watch in zip((images, gazes), is_differentiated, strict=True) if watch]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(sources)
            loss = tf.reduce_sum(warp(images, gazes) ** 2)
        return tape.gradient(loss, sources)

    return one_pass


def _run(function: Callable[..., Any], *values: tf.Tensor) -> None:
    """Calls, and waits for the result."""
    for result in tf.nest.flatten(function(*values)):
        result.numpy()


# --- the warp in a step of training ---


def _measure_share(arguments: argparse.Namespace) -> None:
    batch_size = 2 if arguments.quick else 8
    images, gazes, labels = _draw(batch_size, SIZE)
    # Below 16 filters, oneDNN 3.x writes past its memory in the gradient of a strided convolution of size 1.
    options: dict[str, Any] = {"width": 16 if arguments.quick else 64}
    warp = _pass(RetinalSampling(), (False, False))
    works = {
        name: _training_step(
            build_model(name, image_shape=(SIZE, SIZE, 3), num_classes=NUM_CLASSES, preset="paper", seed=0,
                        options=options | ({"mode": "bilinear"} if name == "retinal" else {})),
            images,
            labels,
        )
        for name in ("retinal", "resnet18")
    }  # fmt: skip
    times = interleave(works | {"warp": lambda: _run(warp, images, gazes)}, max(2, arguments.repeats // 2))
    _tell_seconds(times)
    what = f"{batch_size} x {SIZE} x {SIZE}, width {options['width']}"
    print_rows(make_ratio(f"{what}: warp / step of retinal", times, "warp", "retinal", "<= 0.10"))
    print_rows(
        make_ratio(f"{what}: step of retinal / the same without the warp", times, "retinal", "resnet18")
    )


def _training_step(
    model: keras.Model, images: tf.Tensor, targets: tf.Tensor, loss: Any = None
) -> Callable[[], Any]:
    """One step of Adam; the loss is cross-entropy unless another one is given."""
    model.compile(optimizer="adam", loss=loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return lambda: model.train_on_batch(images, targets)


# --- branches that share a classifier ---


def _measure_branches(arguments: argparse.Namespace) -> None:
    sizes = [(64, 16, 8 if arguments.quick else 32)]
    if arguments.full:
        sizes.append((SIZE, 64, 4))
    for size, width, batch_size in sizes:
        images, _, labels = _draw(batch_size, size)
        many_images, many_labels = tf.repeat(images, NUM_BRANCHES, axis=0), tf.repeat(labels, NUM_BRANCHES)
        for name, num_outputs in (("stn", 4 * NUM_BRANCHES), ("multi_gaze", 2 * NUM_BRANCHES)):
            network = Backbone(width=width, seed=0)
            localisation = network.network((size, size, 3), num_outputs, name="localisation")
            classifier = network.network((size, size, 3), NUM_CLASSES, name="classifier")
            options = {"width": width, "shared_weights": True, "augmentation": "none"}
            model = build_model(
                name, image_shape=(size, size, 3), num_classes=NUM_CLASSES, preset="paper", options=options
            )
            works = {
                name: _training_step(model, images, labels),
                "localisation": _training_step(
                    localisation, images, tf.zeros((batch_size, num_outputs)), "mse"
                ),
                "classifier": _training_step(classifier, many_images, many_labels),
                "to its images": _training_step(_behind_a_weight(classifier), many_images, many_labels),
            }
            times = interleave(works, max(2, arguments.repeats // (2 if size == SIZE else 1)))
            _tell_seconds(times)
            what = f"{name}, {batch_size} x {size} x {size}, width {width}: step / its parts bare"
            print_rows(
                make_ratio(what, times, name, ["localisation", "classifier"], "<= 1.15"),
                make_ratio(f"{what}, back to the views", times, name, ["localisation", "to its images"]),
            )
            keras.backend.clear_session()


def _behind_a_weight(network: keras.Model) -> keras.Model:
    """The same network, trained with what stands before it: its gradient goes back to the images."""
    images = keras.Input(network.input_shape[1:])
    weights = keras.layers.EinsumDense("bhwc,c->bhwc", output_shape=network.input_shape[1:])
    return keras.Model(images, network(weights(images)))


# --- tensorflow-addons, in its own environment ---


def _measure_reference(arguments: argparse.Namespace) -> None:
    if not REFERENCE_PYTHON.exists():
        print("tensorflow-addons: skipped, `make reference` sets up its environment", flush=True)
        return
    images, gazes, _ = _draw(4 if arguments.quick else 16, SIZE)
    rows, columns = RetinalSampling().source_positions(gazes, size=SIZE)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "positions.npz"
        np.savez(path, images=images, rows=rows, columns=columns)
        script = Path(__file__).with_name("warp_peers.py")
        command = [REFERENCE_PYTHON, script, path, str(arguments.repeats)]
        said = subprocess.run(
            command, stdout=subprocess.PIPE, check=True, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
        ).stdout
    what = "positions given, forward: tfa.image.interpolate_bilinear / tf.gather_nd there"
    print_rows(make_ratio(what, json.loads(said), "tensorflow-addons", "tf.gather_nd"))


if __name__ == "__main__":
    main()
