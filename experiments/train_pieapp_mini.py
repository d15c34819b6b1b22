"""Trains pieapp-mini, the small stand-in for PieAPP, from orders of damage that are known by construction.

command:  python experiments/train_pieapp_mini.py --output runs/pieapp_mini
          (give it again to go on after an interruption), then copy runs/pieapp_mini/pieapp_mini.npz to
          bioattack/distances/data/
time:     about 10 minutes of one core: 2,000 steps of 0.23 s, and 1,400 pictures to draw
result:   97.9 % of 384 held-out pairs in the right order (benchmarks/orderings.py: damage of other kinds)
"""

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from pieapp_mini_distortions import draw_pair
from pieapp_mini_pictures import SIZE, draw_picture

from bioattack.distances.pieapp_network import MINI_DESIGN, project_patches, score_patches

# Pictures of 2 x 2 overlapping patches, as on the published grid.
PATCH, STRIDE = 64, 27
SIDE = PATCH + STRIDE
NUM_CORNERS = 4
HELD_OUT_SEED = 10**6
LEARNING_RATE = 1e-3
# What a score costs: without it, loud damage would outgrow everything else without limit.
SCORE_COST = 0.03
# Colours pass through the network on the scale 0 to 255, and through training on the scale 0 to 1.
COLOUR_SCALE = 255.0


def make_variables(seed: int) -> dict[str, tf.Variable]:
    """Makes initial weights: He's for the kernels, patches that count alike."""
    random = np.random.default_rng(seed)
    variables = {}
    for name, shape in MINI_DESIGN.shapes().items():
        if name in ("fc1_score/bias", "fc2_score/bias", "reference/scale", "reference/offset"):
            continue
        value = np.zeros(shape)
        if name.endswith("kernel"):
            value = random.normal(size=shape) * np.sqrt(2 / np.prod(shape[:-1]))
        if name == "fc2_score/kernel":
            value = np.full(shape, -3.0)
        if name == "fc2_weight/bias":
            value = np.ones(shape)
        variables[name] = tf.Variable(value, dtype=tf.float32, name=name.replace("/", "_"))
    return variables


def as_network(variables: dict[str, tf.Variable]) -> dict[str, tf.Tensor]:
    """Turns what is trained into weights of the network.

    The score's dense layers have no biases and the last of them no weight below 0. So a patch's score is 0
    where nothing differs, and never less: the least lies where it should by construction.
    """
    weights = {name: tf.convert_to_tensor(variable) for name, variable in variables.items()}
    weights["fc2_score/kernel"] = 100 * tf.nn.softplus(variables["fc2_score/kernel"])
    for name in ("fc1_score/bias", "fc2_score/bias", "reference/offset"):
        weights[name] = tf.zeros(MINI_DESIGN.shapes()[name])
    return weights | {"reference/scale": tf.ones((1,))}


def image_scores(weights: dict[str, tf.Tensor], pictures: tf.Tensor) -> tf.Tensor:
    """Scores ``(triples, 2)`` from pictures ``(triples, 3, 4, 64, 64, 3)``: the original and both damaged."""
    patches = tf.reshape(pictures[..., ::-1], (-1, PATCH, PATCH, 3))
    differences = []
    for projected in project_patches(weights, patches, MINI_DESIGN.first_stride):
        rows = tf.reshape(projected, (-1, 3, NUM_CORNERS, MINI_DESIGN.hidden))
        differences.append(rows[:, :1] - rows[:, 1:])
    scores, importance = score_patches(weights, *differences, relu_after_weight=True)
    return tf.reduce_sum(scores * importance, -1) / tf.reduce_sum(importance, -1)


def load_pictures(path: Path, number: int) -> np.ndarray:
    """Draws the pictures, or reads those that were drawn before an interruption."""
    if not path.is_file():
        part = path.with_suffix(".part.npy")
        np.save(part, np.stack([draw_picture(seed) for seed in range(number)]))
        part.rename(path)
    return np.load(path, mmap_mode="r")


def draw_batch(pictures: np.ndarray, seed: tuple[int, int], batch_size: int) -> np.ndarray:
    """Draws triples: a window of a picture, turned and recoloured, and that window damaged twice."""
    random = np.random.default_rng(seed)
    batch = np.empty((batch_size, 3, NUM_CORNERS, PATCH, PATCH, 3), np.float32)
    for row in range(batch_size):
        top, left = random.integers(0, SIZE - SIDE + 1, 2)
        window = pictures[random.integers(len(pictures)), top : top + SIDE, left : left + SIDE].astype(float)
        window = np.rot90(window, random.integers(4))[..., random.permutation(3)] ** random.uniform(0.6, 1.6)
        for place, picture in enumerate((window, *draw_pair(window, random))):
            for corner in range(NUM_CORNERS):
                y, x = STRIDE * (corner // 2), STRIDE * (corner % 2)
                batch[row, place, corner] = picture[y : y + PATCH, x : x + PATCH]
    return batch


def held_out_accuracy(variables: dict[str, tf.Variable], seed: int) -> float:
    """Share of pairs in the right order, on pictures that training does not see."""
    pictures = np.stack([draw_picture(HELD_OUT_SEED + number) for number in range(60)])
    right = []
    for number in range(12):
        batch = draw_batch(pictures, (seed, HELD_OUT_SEED + number), 32)
        scores = image_scores(as_network(variables), tf.constant(batch))
        right.append(np.mean(scores[:, 1] > scores[:, 0]))
    return float(np.mean(right))


def export(variables: dict[str, tf.Variable], path: Path) -> None:
    """Writes the weights as float16, with colours from 0 to 255 folded into the first convolution."""
    arrays = {name: value.numpy() for name, value in as_network(variables).items()}
    arrays["conv1/kernel"] = arrays["conv1/kernel"] / COLOUR_SCALE
    halves = {
        name: value.astype(np.float16) if value.ndim == 2 and value.size > 10**5 else value
        for name, value in arrays.items()
    }
    np.savez_compressed(path, first_stride=MINI_DESIGN.first_stride, relu_after_weight=True, **halves)


class Trainer:
    """Adam on the logistic loss of pairs, whose state a checkpoint holds.

    The rate rises over 100 steps, falls as a cosine, and over the last quarter of the steps to 0.
    """

    def __init__(self, seed: int, num_steps: int) -> None:
        self.variables = make_variables(seed)
        self.num_steps = num_steps
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.moments = {
            kind: {name: tf.Variable(tf.zeros_like(value)) for name, value in self.variables.items()}
            for kind in ("first", "second")
        }
        self.checkpoint = tf.train.Checkpoint(step=self.step, variables=self.variables, moments=self.moments)

    @tf.function(reduce_retracing=True)
    def train_step(self, batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Takes one step and returns loss and share of pairs in the right order."""
        with tf.GradientTape() as tape:
            scores = image_scores(as_network(self.variables), batch)
            margins = scores[:, 1] - scores[:, 0]
            loss = tf.reduce_mean(tf.nn.softplus(-margins)) + SCORE_COST * tf.reduce_mean(scores)
        gradients = tape.gradient(loss, self.variables)
        self.step.assign_add(1)
        time_now = tf.cast(self.step, tf.float32)
        rate = LEARNING_RATE * 0.5 * (1 + tf.cos(np.pi * time_now / (2 * self.num_steps)))
        rate *= tf.minimum(
            time_now / 100, tf.minimum(1.0, (self.num_steps - time_now) / (0.25 * self.num_steps))
        )
        for name, variable in self.variables.items():
            first, second = self.moments["first"][name], self.moments["second"][name]
            first.assign(0.9 * first + 0.1 * gradients[name])
            second.assign(0.999 * second + 0.001 * tf.square(gradients[name]))
            change = first / (1 - 0.9**time_now) / (tf.sqrt(second / (1 - 0.999**time_now)) + 1e-8)
            variable.assign_sub(rate * change)
        return loss, tf.reduce_mean(tf.cast(margins > 0, tf.float32))


def main() -> None:
    """Trains, or goes on training, and writes the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder of checkpoints and of the result")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch-size", type=int, default=16, help="triples in a step")
    parser.add_argument("--pictures", type=int, default=1400)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(arguments.seed, arguments.steps)
    manager = tf.train.CheckpointManager(trainer.checkpoint, str(arguments.output / "checkpoints"), 1)
    manager.restore_or_initialize()
    pictures = load_pictures(arguments.output / "pictures.npy", arguments.pictures)
    started = time.monotonic()
    while (step := int(trainer.step)) < arguments.steps:
        batch = draw_batch(pictures, (arguments.seed, step), arguments.batch_size)
        loss, accuracy = trainer.train_step(tf.constant(batch))
        if (step + 1) % 50 == 0:
            manager.save()
            seconds = time.monotonic() - started
            print(f"step {step + 1}: loss {loss:.4f}, right {accuracy:.3f}, {seconds:.0f} s", flush=True)
    export(trainer.variables, arguments.output / "pieapp_mini.npz")
    print(f"held-out pairs in the right order: {held_out_accuracy(trainer.variables, arguments.seed):.4f}")


if __name__ == "__main__":
    main()
