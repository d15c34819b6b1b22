"""Speed and memory of the records, side by side with what they replace, as ratios measured in one run.

    python benchmarks/records.py                    on pictures as heavy as photographs that it draws itself
    python benchmarks/records.py --source FOLDER    on your own JPEG or PNG files, wherever they lie in it
    python benchmarks/records.py --quick            few pictures and repeats: does it run, not how fast

Each line is the median over interleaved repeats of "ours / theirs", with the least and the greatest. Wall
time is what the goals are about; processor time, of all threads, is steadier where other programs run too.
"""

import argparse
import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bioattack.cli.common import prepare_tensorflow

prepare_tensorflow()

import keras
import numpy as np
import tensorflow as tf
from PIL import Image
from ratio import Ratio, interleave, make_ratio, print_head, print_rows

from bioattack.tfrecords_builder.build import build
from bioattack.tfrecords_builder.folder import FolderOptions
from bioattack.tfrecords_builder.images import PNG_COMPRESSION
from bioattack.tfrecords_builder.reading import Records, open_records
from bioattack.tfrecords_builder.synthetic_objects import DRAWERS
from bioattack.tfrecords_builder.synthetic_scene import draw_scene

CROP_SIZE, SMALL_SIZE = 320, 64
PHOTOGRAPH = (375, 500)
# What brings a drawn picture to about the bytes of a photograph (147 KB), on which decoding takes its time:
# of the 24 of this size among 120 pictures of ImageNet, of 135 KB each, 21 have this quality, 23 colours at
# full size.
GRAIN, QUALITY = 1.4, 96
BATCH_SIZE = 32
GROWTH = 10
# A network so narrow that what a training run holds in memory is TensorFlow, Keras and the pictures.
NARROW = ("--model", "resnet18", "--model-options.width", "4", "--model-options.augmentation", "none")


def main() -> None:
    """Measures everything and prints the table."""
    arguments = _parse()
    num_pictures, repeats = (40, 2) if arguments.quick else (300, 5)
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as name:
        scratch = Path(name)
        source = scratch / "pictures"
        if arguments.source is None:
            _draw_photographs(source, num_pictures)
        else:
            _copy(arguments.source, source)
        files = _files(source)
        print(f"{len(files)} pictures, {os.cpu_count()} cores, TensorFlow {tf.__version__}", file=sys.stderr)
        print_head()
        print_rows(_measure_building(source, files, scratch, repeats))
        for size in (CROP_SIZE, SMALL_SIZE):
            folder = _cropped(files, scratch / f"png-{size}", size)
            print_rows(*_measure_reading(folder, f"{size} x {size} PNG", scratch, repeats))
        if size_in_words := _link_photographs_of_one_size(files, scratch / "photographs"):
            print_rows(*_measure_reading(scratch / "photographs", f"{size_in_words} JPEG", scratch, repeats))
        print_rows(*_measure_memory(scratch, files, arguments.quick))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--source", type=Path, help="folder of pictures, JPEG or PNG files")
    parser.add_argument("--scratch", type=Path, help="where to put temporary files")
    parser.add_argument("--quick", action="store_true", help="few pictures and repeats")
    return parser.parse_args()


def _draw_photographs(folder: Path, number: int) -> None:
    height, width = PHOTOGRAPH
    for index in range(number):
        random = np.random.default_rng(index)
        scene = draw_scene(tuple(DRAWERS)[index % len(DRAWERS)], max(PHOTOGRAPH), random)[:height, :width]
        grainy = (scene + random.normal(scale=GRAIN, size=scene.shape)).clip(0, 255)
        picture = Image.fromarray(grainy.astype(np.uint8))
        picture.save(_place(folder, index, ".jpg"), quality=QUALITY, subsampling=0)


def _copy(given: Path, folder: Path) -> None:
    files = [path for path in _files(given) if path.suffix.lower() in (".jpg", ".jpeg", ".png")]
    if not files:
        raise SystemExit(f"benchmarks/records.py: {given} holds no JPEG or PNG files")
    for index, file in enumerate(files):
        shutil.copyfile(file, _place(folder, index, file.suffix))


def _link_photographs_of_one_size(files: list[Path], folder: Path) -> str:
    """Links the JPEG files in colour of the most frequent size; gives it, or "" where there are none."""
    by_size: dict[tuple[int, int], list[Path]] = {}
    for file in files:
        with Image.open(file) as opened:
            if opened.format == "JPEG" and opened.mode == "RGB":
                by_size.setdefault(opened.size, []).append(file)
    if not by_size:
        return ""
    (width, height), chosen = max(by_size.items(), key=lambda item: len(item[1]))
    kilobytes = np.mean([path.stat().st_size for path in chosen]) / 1000
    print(f"{len(chosen)} JPEG files of {height} x {width}, {kilobytes:.0f} KB each", file=sys.stderr)
    for index, path in enumerate(chosen):
        os.link(path, _place(folder, index, path.suffix))
    return f"{height} x {width}"


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _place(folder: Path, index: int, suffix: str) -> Path:
    """Names a picture in one of two folders: a builder of records wants classes, whatever they are."""
    path = folder / f"class-{index % 2}" / f"{index:05d}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _cropped(files: list[Path], folder: Path, size: int) -> Path:
    """Writes the pictures once more, as square PNG files."""
    for index, file in enumerate(files):
        _place(folder, index, ".png").write_bytes(_crop_and_encode(file, size))
    return folder


def _multiplied(folder: Path, many: Path, copies: int) -> Path:
    """Lists each picture several times, under names of its own, at no cost in space."""
    for path in _files(folder):
        for copy in range(copies):
            link = many / path.parent.name / f"{copy}-{path.name}"
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, link)
    return many


def _crop_and_encode(file: Path, size: int) -> bytes:
    """What any script would do: decode, scale the shorter side, cut out the middle, encode."""
    with Image.open(file) as opened:
        image = opened.convert("RGB")
    side = min(image.size)
    left, upper = (image.width - side) / 2, (image.height - side) / 2
    box = (left, upper, left + side, upper + side)
    buffer = io.BytesIO()
    image.resize((size, size), Image.Resampling.BILINEAR, box=box).save(buffer, "PNG", **PNG_COMPRESSION)
    return buffer.getvalue()


def _measure_building(source: Path, files: list[Path], scratch: Path, repeats: int) -> Ratio:
    def ours() -> None:
        # With one worker all happens in this process: listing, hashing, cropping, writing, manifest.
        output = scratch / "built"
        build("folder", FolderOptions(source=source, output=output, size=CROP_SIZE, workers=1, quiet=True))
        shutil.rmtree(output)

    def theirs() -> None:
        for file in files:
            (scratch / "one.png").write_bytes(_crop_and_encode(file, CROP_SIZE))

    times = interleave({"ours": ours, "theirs": theirs}, repeats)
    return make_ratio(f"build, {CROP_SIZE}-pixel crops / bare Pillow loop", times, "ours", "theirs", "<= 1.3")


def _measure_reading(folder: Path, what: str, scratch: Path, repeats: int) -> list[Ratio]:
    num_pictures = len(_files(folder))
    # As many as an epoch has in earnest: what is timed is reading, not the start and end of a pass.
    copies = -(-(4000 if what.startswith(f"{SMALL_SIZE} ") else 600) // num_pictures)
    folder = _multiplied(folder, scratch / f"many-{folder.name}", copies)
    options = FolderOptions(
        source=folder, output=scratch / f"records-{folder.name}", test_fraction=0, quiet=True
    )
    build("folder", options)
    records = open_records(options.output)
    encoded = [path.read_bytes() for path in _files(folder)]
    assert len(encoded) == records.num_examples("train")
    ours = _ours(records)
    files = _keras_files(folder, records)
    # What ours give: Keras' own introduction puts the same line behind image_dataset_from_directory.
    scaled_files = files.map(lambda images, labels: (images / 255.0, labels))
    peers: tuple[tuple[str, Callable[[], None], str], ...] = (
        ("bare decode_image", _bare_decoding(encoded), "<= 1.2"),
        ("image_dataset_from_directory", lambda: _consume(files), "< 1"),
        ("the same, scaled to [0, 1]", lambda: _consume(scaled_files), "< 1"),
    )
    rows = []
    for name, theirs, goal in peers:
        # Each beside ours alone: whoever comes third finds the caches as the second left them.
        times = interleave({"ours": ours, "theirs": theirs}, repeats)
        rows.append(make_ratio(f"read {what}, shuffled / {name}", times, "ours", "theirs", goal))
    return rows


def _ours(records: Records) -> Callable[[], None]:
    # One pass with an end: the endless training data would be caught at work on the pass after it.
    dataset = records.dataset("train", batch_size=BATCH_SIZE, epoch_seed=(0, 0))
    return lambda: _consume(dataset)


def _bare_decoding(encoded: list[bytes]) -> Callable[[], None]:
    def decode(content: tf.Tensor) -> tf.Tensor:
        return tf.io.decode_image(content, channels=3, expand_animations=False)

    pictures = tf.data.Dataset.from_tensor_slices(encoded)
    dataset = pictures.map(decode, num_parallel_calls=os.cpu_count())
    return lambda: _consume(dataset)


def _keras_files(folder: Path, records: Records) -> tf.data.Dataset:
    return keras.utils.image_dataset_from_directory(
        folder,
        batch_size=BATCH_SIZE,
        image_size=records.image_shape[:2],
        shuffle=True,
        seed=0,
        verbose=False,
    )


def _consume(dataset: tf.data.Dataset) -> None:
    """Runs through a data set inside TensorFlow, where no time is spent on handing pictures to Python."""
    dataset.reduce(np.int64(0), lambda number, *_: number + 1).numpy()


def _measure_memory(scratch: Path, files: list[Path], quick: bool) -> list[Ratio]:
    """Trains on the records and on ten times as many: for one epoch each, and for equally many steps."""
    pictures = _cropped(files, scratch / "memory" / "pictures", SMALL_SIZE)
    records = []
    for copies in (4, 4 * GROWTH):
        folder = _multiplied(pictures, scratch / "memory" / f"pictures-{copies}", copies)
        output = scratch / "memory" / f"records-{copies}"
        build("folder", FolderOptions(source=folder, output=output, quiet=True))
        records.append(output)
    once, often = records
    same_epochs, same_steps = [], []
    for repeat in range(1 if quick else 3):
        run = scratch / "memory" / f"run-{repeat}"
        peak_often = _peak_of_training(often, run / "often", epochs=1)
        same_epochs.append(peak_often / _peak_of_training(once, run / "once", epochs=1))
        same_steps.append(peak_often / _peak_of_training(once, run / "steps", epochs=GROWTH))
    what = f"peak memory of training, {GROWTH} times the records / once"
    return [
        Ratio(f"{what}, one epoch each", same_epochs, "<= 1.05"),
        Ratio(f"{what}, as many steps", same_steps, "<= 1.05"),
    ]


def _peak_of_training(records: Path, output: Path, *, epochs: int) -> int:
    """Returns the greatest resident size of ``bioattack-train``, in KiB."""
    settings = ["--data", str(records), "--output", str(output), "--epochs", str(epochs), "--quiet"]
    command = [*settings, *NARROW]
    # Through a small process: a child's peak begins with the size of the process that started it, and this
    # one is large.
    code = (
        "import resource, subprocess, sys;"
        "subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    train = [sys.executable, "-m", "bioattack.cli.train", *command]
    said = subprocess.run([sys.executable, "-c", code, *train], stdout=subprocess.PIPE, check=True).stdout
    peak = int(said) // (1024 if sys.platform == "darwin" else 1)
    print(f"peak memory, {output.name}: {peak / 1024:.0f} MiB", file=sys.stderr)
    return peak


if __name__ == "__main__":
    main()
