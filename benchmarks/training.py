"""What distributionally robust training costs, as ratios measured in one run.

    python benchmarks/training.py            on 512 pictures of 64 pixels
    python benchmarks/training.py --quick    fewer pictures and repeats: does it run, not how fast

A step of Algorithm 4.1 against the sum of its parts; drawing from the stored dataset against reading it in
order; K models from one dataset against attacking afresh in every step of each (Hua et al. 2022); and one
command that trains several models against as many commands that train one.
"""

import argparse
import dataclasses
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bioattack.cli.common import prepare_tensorflow

prepare_tensorflow()

import keras
import numpy as np
import tensorflow as tf
from ratio import Ratio, interleave, make_ratio, print_head, print_rows

from bioattack.models.registry import build_model
from bioattack.testing.small_records import write_small_records
from bioattack.tfrecords_builder.drawing import draw_places
from bioattack.tfrecords_builder.exact_records import open_exact_records
from bioattack.tfrecords_builder.reading import Records, open_records
from bioattack.tfrecords_builder.weighted_reading import open_weighted_records
from bioattack.training.config import TrainConfig, TrainPlan, make_plan
from bioattack.training.dro_dataset import dro_dataset
from bioattack.training.dro_maker import DatasetMaker

IMAGE_SIZE, BATCH_SIZE = 64, 32
NUM_MODELS, NUM_EPOCHS = 50, 2
ENSEMBLE = 8


@dataclasses.dataclass
class Parts:
    """Seconds of each call of a part, and of the whole.

    Args:
        learning: Steps of the optimizer.
        attacking: Attacks of a batch on the engine.
        whole: From the first call counted to the end.
    """

    learning: list[float] = dataclasses.field(default_factory=list)
    attacking: list[float] = dataclasses.field(default_factory=list)
    whole: float = 0.0


def main() -> None:
    """Measures everything and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer pictures and repeats")
    is_quick = parser.parse_args().quick
    num_pictures, repeats = (128, 2) if is_quick else (512, 5)
    print(f"{num_pictures} pictures, {os.cpu_count()} cores, TensorFlow {tf.__version__}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        records = open_records(
            write_small_records(scratch / "records", num_train=num_pictures, num_test=0, size=IMAGE_SIZE)
        )
        plan, model = _plan(records), _trained(records)
        dro_dataset(model, plan, records=records, folder=scratch / "warm")
        steps, speed_ups = [], []
        for repeat in range(repeats):
            folder = scratch / f"dataset-{repeat}"
            parts = _measure_dataset(model, plan, records, folder)
            steps.append(parts.whole / (sum(parts.learning) + sum(parts.attacking)))
            speed_ups.append(_share_of_attacking_afresh(parts, num_records=2 * num_pictures))
        rows = [
            Ratio("a step of Algorithm 4.1 / attack on the engine + training step", steps, "<= 1.15"),
            _measure_drawing(scratch / "warm", repeats),
            Ratio(f"a dataset and {NUM_MODELS} models / attacking afresh in every step", speed_ups, "< 1"),
            *_measure_ensemble(records.directory, scratch / "runs", repeats=1 if is_quick else 3),
        ]
        print_head()
        print_rows(*rows)


def _plan(records: Records) -> TrainPlan:
    options = {"distance": "ssim", "rounds": 1, "num_steps": 20}
    return make_plan(
        TrainConfig(
            model="small_cnn",
            data=records.directory,
            output=records.directory,
            training="dro",
            training_options=options,
            schedule="constant",
            batch_size=BATCH_SIZE,
            quiet=True,
        )
    )


def _trained(records: Records) -> keras.Model:
    """A network that knows the pictures, so that the attack has something to do."""
    model = build_model(
        "small_cnn",
        image_shape=records.image_shape,
        num_classes=records.num_classes,
        preset="small",
        options={},
        seed=0,
    )
    model.compile(keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    data = records.training_dataset("train", batch_size=BATCH_SIZE, seed=0)
    steps = records.steps_per_epoch("train", BATCH_SIZE)
    model.fit(data, epochs=max(2, 60 // steps), steps_per_epoch=steps, shuffle=False, verbose=0)
    return model


def _measure_dataset(model: keras.Model, plan: TrainPlan, records: Records, folder: Path) -> Parts:
    """Makes a dataset and takes the time of its parts; the first step, which traces, is left out."""
    parts = Parts()
    learn, make_chunk = DatasetMaker._learn, DatasetMaker._write_round
    begin = 0.0

    def timed_learn(maker: DatasetMaker, *arguments: Any, **options: Any) -> None:
        nonlocal begin
        attack: Callable[..., Any] = maker.attack._run
        if not parts.learning:
            maker.attack._run = _timed(attack, parts.attacking)  # type: ignore[method-assign]
        start = time.perf_counter()
        learn(maker, *arguments, **options)
        parts.learning.append(time.perf_counter() - start)
        if len(parts.learning) == 2:
            begin = start

    def timed_round(*arguments: Any) -> Any:
        made = make_chunk(*arguments)
        parts.whole = time.perf_counter() - begin
        return made

    DatasetMaker._learn, DatasetMaker._write_round = timed_learn, timed_round  # type: ignore[method-assign]
    try:
        dro_dataset(model, plan, records=records, folder=folder)
    finally:
        DatasetMaker._learn, DatasetMaker._write_round = learn, make_chunk  # type: ignore[method-assign]
    del parts.learning[0], parts.attacking[0]
    return parts


def _timed(function: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    def timed(*arguments: Any) -> Any:
        start = time.perf_counter()
        result = function(*arguments)
        seconds.append(time.perf_counter() - start)
        return result

    return timed


def _share_of_attacking_afresh(parts: Parts, *, num_records: int) -> float:
    """Seconds of one dataset and its models over those of models that attack every batch they learn from."""
    learning, attacking = (statistics.median(seconds) for seconds in (parts.learning, parts.attacking))
    num_steps = NUM_MODELS * NUM_EPOCHS * -(-num_records // BATCH_SIZE)
    print(
        f"per batch: training step {1e3 * learning:.1f} ms, attack {1e3 * attacking:.1f} ms; "
        f"dataset {parts.whole:.1f} s",
        file=sys.stderr,
    )
    return (parts.whole + num_steps * learning) / (num_steps * (learning + attacking))


def _measure_drawing(folder: Path, repeats: int) -> Ratio:
    """Draws as many pictures as there are, and reads all of them in the stored order."""
    records = open_exact_records(folder)
    weighted = open_weighted_records(folder, records.manifest)
    # One pass with an end: the endless draws of training would be caught at work on the pass after it.
    drawn = weighted.dataset_at(
        draw_places(weighted.weights, weighted.num_examples, seeds=(0, 0)), batch_size=BATCH_SIZE
    )
    in_order = records.dataset("train", batch_size=BATCH_SIZE)
    works = {"drawn": lambda: _consume(drawn), "in order": lambda: _consume(in_order)}
    times = interleave(works, 2 * repeats)
    return make_ratio("drawing by weight / reading in order", times, "drawn", "in order", "<= 1.3")


def _measure_ensemble(records: Path, runs: Path, *, repeats: int) -> list[Ratio]:
    """Times whole commands, the start of Python and TensorFlow included."""

    def train(*flags: str) -> None:
        shutil.rmtree(runs, ignore_errors=True)
        command = [sys.executable, "-m", "bioattack.cli.train", "--model=small_cnn", f"--data={records}"]
        settings = [f"--output={runs}", f"--batch-size={BATCH_SIZE}", f"--epochs={NUM_EPOCHS}", "--quiet"]
        # Their texts go to standard output, where the table of ratios belongs.
        subprocess.run([*command, *settings, *flags], check=True, stdout=subprocess.DEVNULL)

    works = {
        "one": lambda: train(),
        "one process": lambda: train(f"--models={ENSEMBLE}", "--jobs=1"),
        "two processes": lambda: train(f"--models={ENSEMBLE}", "--jobs=2"),
    }
    # The processor time of other processes is not counted by this one.
    wall = {name: seconds for name, (seconds, _) in interleave(works, repeats, is_warm=True).items()}

    def ratio(what: str, ours: str, theirs: str, goal: str, factor: int) -> Ratio:
        pairs = zip(wall[ours], wall[theirs], strict=True)
        return Ratio(what, [one / other / factor for one, other in pairs], goal)

    return [
        ratio(f"{ENSEMBLE} models, --jobs 1 / {ENSEMBLE} times one", "one process", "one", "<= 1", ENSEMBLE),
        ratio(
            f"{ENSEMBLE} models, --jobs 2 / {ENSEMBLE} times one", "two processes", "one", "<= 1", ENSEMBLE
        ),
        ratio(f"{ENSEMBLE} models, --jobs 2 / --jobs 1", "two processes", "one process", "", 1),
    ]


def _consume(dataset: tf.data.Dataset) -> None:
    """Runs through a data set inside TensorFlow, where no time is spent on handing pictures to Python."""
    dataset.reduce(np.int64(0), lambda number, *_: number + 1).numpy()


if __name__ == "__main__":
    main()
