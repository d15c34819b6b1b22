"""How pieapp-mini, PSNR, SSIM and MS-SSIM order damage: published pairs, and distortions none was made for.

    python benchmarks/orderings.py                      held-out distortions of pictures drawn by rule
    python benchmarks/orderings.py --realdata FOLDER    and of photographs; and published pairs
    python benchmarks/orderings.py --quick              few pictures: does it run, not how well it orders

Held-out distortions: pairs of one distortion at two strengths, so that the order is known. pieapp-mini has
not seen these distortions in its training, nor any photograph. An order is right if the stronger damage is
strictly further away; intervals are Wilson's, 95 %.

Published pairs: Spearman's rank correlation with published PieAPP, LPIPS and DISTS values, with 95 %
bootstrap intervals over the pairs. There are 5 to 8 pairs only, each of another picture: the intervals say
how little that is. PSNR, SSIM and MS-SSIM count as distances here (high means damaged).

pieapp-mini is a stand-in for PieAPP: its figures say nothing about PieAPP's.
"""

import argparse
import csv
import io
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from bioattack.cli.common import prepare_tensorflow

prepare_tensorflow()

import numpy as np
import tensorflow as tf
from ordering_distortions import HELD_OUT, draw_pair
from PIL import Image
from scipy.stats import spearmanr
from statsmodels.stats.proportion import proportion_confint

from bioattack.distances import Distance, make_distance
from bioattack.tfrecords_builder.synthetic_objects import DRAWERS
from bioattack.tfrecords_builder.synthetic_scene import draw_scene

NAMES = ("pieapp-mini", "psnr", "ssim", "ms-ssim")
JUDGES = ("pieapp", "lpips", "dists")
# Large enough for MS-SSIM's five scales. Scenes begin where no training begins.
SIZE, FIRST_SCENE = 192, 5_000_000
NUM_RESAMPLES = 2000
BATCH_SIZE = 8


def main() -> None:
    """Measures and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--realdata", type=Path, help="folder with iqa/ and imagenet/")
    parser.add_argument("--quick", action="store_true", help="few pictures")
    arguments = parser.parse_args()
    distances = {name: make_distance(name) for name in NAMES}
    number = 4 if arguments.quick else 60
    _tell_accuracy("drawn scenes", _scenes(number), distances)
    if arguments.realdata:
        _tell_accuracy("photographs", _photographs(arguments.realdata, number), distances)
        _tell_correlations(arguments.realdata, distances)


def _scenes(number: int) -> Iterable[np.ndarray]:
    names = tuple(DRAWERS)
    for place in range(number):
        random = np.random.default_rng(FIRST_SCENE + place)
        yield draw_scene(names[place % len(names)], SIZE, random) / 255


def _photographs(folder: Path, number: int) -> Iterable[np.ndarray]:
    with zipfile.ZipFile(folder / "imagenet" / "nips2017_dev80.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".png"))
        for name in names[:number]:
            picture = _read(archive, name)
            top, left = ((length - SIZE) // 2 for length in picture.shape[:2])
            yield picture[top : top + SIZE, left : left + SIZE]


def _read(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB"), np.float32) / 255


def _tell_accuracy(what: str, pictures: Iterable[np.ndarray], distances: Mapping[str, Distance]) -> None:
    """One line for each distortion and one for all of them."""
    pictures = list(pictures)
    print(f"\nright orders of held-out distortions, {what}, {len(pictures)} pairs each")
    print(f"{'':16}" + "".join(f"{name:>27}" for name in distances))
    rights: dict[str, list[np.ndarray]] = {name: [] for name in distances}
    for place, (kind, distort) in enumerate(HELD_OUT.items()):
        drawn = [
            draw_pair(distort, picture, np.random.default_rng((place, number)))
            for number, picture in enumerate(pictures)
        ]
        references, less, more = (
            np.stack(each).astype(np.float32)
            for each in (pictures, [pair[0] for pair in drawn], [pair[1] for pair in drawn])
        )
        for name, distance in distances.items():
            right = _apart(distance, references, more) > _apart(distance, references, less)
            rights[name].append(right)
        _print_shares(kind, {name: found[-1] for name, found in rights.items()})
    _print_shares("all", {name: np.concatenate(found) for name, found in rights.items()})


def _apart(distance: Distance, references: np.ndarray, images: np.ndarray) -> np.ndarray:
    starts = range(0, len(images), BATCH_SIZE)
    return np.concatenate(
        [distance(references[at : at + BATCH_SIZE], images[at : at + BATCH_SIZE]).numpy() for at in starts]
    )


def _print_shares(kind: str, rights: Mapping[str, np.ndarray]) -> None:
    cells = []
    for right in rights.values():
        low, high = proportion_confint(right.sum(), right.size, method="wilson")
        cells.append(f"{right.mean():.1%} ({low:.1%} to {high:.1%})")
    print(f"{kind:16}" + "".join(f"{cell:>27}" for cell in cells), flush=True)


def _tell_correlations(folder: Path, distances: Mapping[str, Distance]) -> None:
    """One table of the pairs and one of the correlations."""
    published: dict[tuple[str, str], dict[str, float]] = {}
    with (folder / "iqa" / "reference_scores.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["metric"] in JUDGES:
                pair = published.setdefault((row["reference"], row["distorted"]), {})
                pair[row["metric"]] = float(row["published_value"])
    measured = _measure_pairs(folder / "iqa" / "iqa_pairs.zip", list(published), distances)
    print(f"\n{'published pair':28}" + "".join(f"{name:>13}" for name in (*JUDGES, *distances)))
    for pair, values in published.items():
        cells = [f"{values[judge]:.3f}" if judge in values else "" for judge in JUDGES]
        cells += [f"{measured[pair][name]:.4f}" for name in distances]
        print(f"{pair[1]:28}" + "".join(f"{cell:>13}" for cell in cells))
    print("\nSpearman's rank correlation over these few pairs, with bootstrap intervals")
    print(f"{'':16}" + "".join(f"{name:>27}" for name in distances))
    for judge in JUDGES:
        pairs = [pair for pair, values in published.items() if judge in values]
        theirs = np.array([published[pair][judge] for pair in pairs])
        cells = [
            _correlation(theirs, np.array([measured[pair][name] for pair in pairs])) for name in distances
        ]
        print(f"{judge + f' ({len(pairs)} pairs)':16}" + "".join(f"{cell:>27}" for cell in cells))


def _measure_pairs(
    path: Path, pairs: list[tuple[str, str]], distances: Mapping[str, Distance]
) -> dict[tuple[str, str], dict[str, float]]:
    measured = {}
    with zipfile.ZipFile(path) as archive:
        for pair in pairs:
            reference, image = (tf.constant(_read(archive, name)[None]) for name in pair)
            measured[pair] = {name: float(distances[name](reference, image)[0]) for name in distances}
    return measured


def _correlation(theirs: np.ndarray, ours: np.ndarray) -> str:
    """Of the pairs, and of resampled pairs with two values or more."""
    random = np.random.default_rng(0)
    found = []
    for _ in range(NUM_RESAMPLES):
        places = random.integers(0, len(theirs), len(theirs))
        if len(set(theirs[places])) > 1 and len(set(ours[places])) > 1:
            found.append(spearmanr(theirs[places], ours[places]).statistic)
    low, high = np.quantile(found, (0.025, 0.975))
    return f"{spearmanr(theirs, ours).statistic:+.2f} ({low:+.2f} to {high:+.2f})"


if __name__ == "__main__":
    main()
