"""What an evaluation leaves in its output folder, and how to read it back.

Everything that is shown is computed from these files and nothing else::

    OUTPUT/
      results.csv.gz          the long table: one row per image, model, norm and epsilon
      summary.json            the figures read off the table, the settings, versions and models
      tables/*.csv            clean.csv, adversarial.csv, per_class.csv: the lists of summary.json as tables;
                              least_epsilon.csv where it was searched
      examples/index.json     which pictures were saved, and what the models made of them
      examples/*.png
      audit.json              with --audit: whether each model's gradient can be believed; alone where one
                              cannot be attacked for what the audit finds (probabilities, no gradient)
      models/NAME/            model_card.json and history.csv, copied from a run folder (absent otherwise)
      figures/*.png           drawn by bioattack.evaluation.figures
      report.html             written by bioattack.evaluation.report
      tables/by_COLUMN.csv    with --group-by: one row per model, attack, norm, epsilon and group;
                              gaps_by_COLUMN.csv: the largest differences between groups
      unfinished/             only while an evaluation is under way

An attack (``bioattack-attack``) leaves the same but for examples, audit and report, and, if asked::

      images/MODEL/ATTACK-NORM-EPSILON/IMAGE_ID.png    every picture, attacked or not, with 8 bits per channel
      records/MODEL/ATTACK-NORM-EPSILON/               the same as records, in place of the files
      figures/*.png                                    one picture under all attacks

**results.csv.gz.** The columns are ``COLUMNS``, then one per distance that was asked for (``--judges ssim
lpips``: the columns ``ssim`` and ``lpips``), then one per group of the records (``country``, ...).
Rows with ``attack == "none"`` (``norm == "none"``, ``judged == "none"``, ``epsilon == 0``) are the pictures
as they are, one per image and model; there ``predicted_adversarial`` repeats ``predicted_clean`` and the
distances are 0. Rows with an attack follow, sorted by model, attack, norm, epsilon, image. ``success`` is
``correct_clean`` and wrong afterwards (or, where the attack has a target, taken for that; pictures of the
target's own class are not attacked); ``success_8bit`` asks the same of the adversarial image rounded to
8 bits per channel. An image that was wrong already is not attacked: its distances and ``steps``
are 0. An image that fell at one epsilon counts as fallen at the larger ones, with the same adversarial image
and 0 further steps, unless the epsilons were run apart (``settings.independent``). Where rounding undoes that
image, the picture is attacked at the next epsilon again, until an image is found that fools in 8 bits, and
that image stands from there on. ``epsilon_low`` and ``epsilon_high`` are empty but where the
least epsilon was searched: the largest one withstood, and the least one that fooled (``inf`` where none did);
both are 0 for an image that was wrong already. Such rows have ``epsilon_high`` for ``epsilon``, or the
largest one tried. ``rms`` is ``l2`` over the root of the number of values.
Some attacks know no ball of a norm. Where one keeps to a radius in another distance, ``norm`` is the name of
that distance and ``epsilon`` the radius (``ppgd``, ``lpa``: ``nptm``, 0.5). Where one has no radius at all,
``epsilon`` is ``inf``, and ``norm`` the distance that it weighs against success (``lagrangian``: that of
``--distance``; ``perc-al``: ``ciede2000``), or ``none`` where it weighs none (``pgd-unbounded``). Such
attacks have ``judged == "returned"``: the one image that they give back. All of them may be grouped by
``norm`` and ``epsilon`` like any others; in JSON, which knows no infinity, the ``epsilon`` is null.
A distance that was asked for is that of the adversarial image (not rounded) from the picture, 0 where it was
not attacked and in the rows of the pictures as they are; by definition 0 for equal images and growing, also
where the published score falls (``ssim`` is 1 - SSIM; ``psnr``: see ``bioattack.distances``).
The columns ``p0``, ``p1``, ... stand, if they were asked for (``--probabilities``), behind the distances and
before the groups: the probability (softmax of the logits, float32) of each class in the order of the labels,
of what ``predicted_adversarial`` was read off: of the picture as it is where ``attack == "none"``, of the
adversarial image elsewhere; empty there with ``--probabilities clean``. They add up to 1 within 1e-6.

**Rows of a table** (records of ``adult``) give the same columns. "image" and "picture" then stand for a
row, ``epsilon`` and the lengths ``l1``, ``l2``, ``linf``, ``rms`` are in the attributes' own units, and
``norm`` is ``"linf"``: no attribute is moved by more than epsilon. A row is saved as it was found:
``success_8bit`` and everything else of 8 bits equals the plain figure. There are no examples and no pictures;
saved records are records of rows.

``margin_*`` is the logit of the true class minus the largest other logit. ``seconds`` is the image's share
of its batch's time and the only column that differs between two runs of the same command.

**summary.json** (fractions are in [0, 1]; ``low`` and ``high`` are the ends of the 95 % Wilson interval)::

    {
      "format_version": 1,
      "settings": {"model": [...], "data": "...", "split": "test", "limit": null, "protocol": "paper",
                   "norms": ["linf", "l2"], "epsilons": {"linf": [...], "l2": [...]},
                   "steps": {"linf": 20, "l2": 20},
                   "batch_size": 50, "seed": 0, "outputs": "logits", "input_range": [0.0, 1.0], ...},
      "protocol": {"name": "paper", "judged": "any", "judged_words": "any iterate (the paper's)",
                   "attacks": [{"norm": "linf", "attack": "pgd", "foolbox_class": "LinfBasicIterativeAttack",
                                "steps": 20, "relative_step": 0.3333, "has_random_start": false}, ...]},
      "data": {"path": "...", "kind": "synthetic", "fingerprint": "sha256...", "split": "test",
               "num_images": 200, "class_names": [...], "image_shape": [64, 64, 3], "groups": ["country"]},
               (of rows of a table "image_shape" is null, and there are "input_shape": [14], "table": the
               attributes as in the records' manifest, "moved": the names of those that were attacked)
      "models": [{"name": "resnet18", "source": "...", "fingerprint": "sha256...",
                  "folder": "models/resnet18" or null, "num_parameters": 701082 or null,
                  "card": {...model_card.json...} or null}],
      "clean": [{"model", "num_images", "num_correct", "accuracy", "low", "high"}],
      "adversarial": [{"model", "attack", "norm", "epsilon", "epsilon_words": "0.0314 (8/255)", "judged",
                       "num_images", "num_misclassified" (M), "num_success" (A),
                       "accuracy" (1 - (M + A) / N), "low", "high",
                       "num_success_8bit", "accuracy_8bit", "low_8bit", "high_8bit",
                       "mean_l1", "mean_l2", "mean_linf", "mean_steps" (over the successes; null without),
                       "mean_DISTANCE" for each distance that was asked for (the same),
                       "num_zero_gradient", "seconds"}],
      "per_class": [{"model", "attack", "norm", "epsilon", "label", "class_name",
                     "num_images", "num_correct", "accuracy", "low", "high"}],   (attack "none" is clean)
      "attacks": in place of "protocol" in an attack's summary: [{"attack", "norm", "epsilons", "judged",
                 "stages": [the attacks it is made of, with all their settings]}],
      "least_epsilon": [{"model", "attack", "norm", "num_images", "num_fallen", "num_censored", "largest",
                         "mean", "median", "mean_of_fallen"}],   (absent where it was not searched)
      "by_group": {"race": [the rows of tables/by_race.csv, see bioattack.evaluation.groups], ...},
                  (absent without --group-by, like
      "group_gaps": the same for tables/gaps_by_race.csv, see bioattack.evaluation.group_gaps)
      "notes": ["one sentence each: what a reader must know to trust the figures"],
      "audit": what audit.json holds; absent without an audit:
               {"format_version": 1, "identity": {...}, "significance": 0.01, "margin": 0.02,
                "models": [{"model", "num_images", "num_failed", "seconds",
                            "checks": [{"key", "title", "verdict", "sentence", "num_images", "figures"}]}]},
      "versions": {"bioattack": "...", "python": "...", "tensorflow": "...", "keras": "...", ...},
      "git_commit": "..." or null,
      "device": "CPU" or "GPU",
      "seconds": 81.3
    }

**examples/index.json** is a list, ordered by picture, model, norm, epsilon; paths are relative to
``examples/``. The pictures are the first correctly classified (by the first model) of different classes::

    [{"image_id": "test/bee/0001.png", "label": 3, "class_name": "bee", "model": "resnet18", "attack": "pgd",
      "norm": "linf", "epsilon": 0.01, "epsilon_words": "0.01 (2.55/255)",
      "original": "00-original.png", "adversarial": "00-resnet18-pgd-linf-0.01.png",
      "difference": "00-resnet18-pgd-linf-0.01-difference.png", "difference_scale": 0.01,
      "predicted_clean": 3, "predicted_clean_name": "bee",
      "predicted_adversarial": 5, "predicted_adversarial_name": "snake",
      "success": true, "success_8bit": true, "l1": ..., "l2": ..., "linf": ...,
      "margin_clean": ..., "margin_adversarial": ...}]

``adversarial`` is rounded to 8 bits, as every saved picture is; ``difference`` is drawn from the unrounded
perturbation: mid-grey (128) is 0, and ``difference_scale`` (its largest absolute value, at least 1e-12) is
mapped to the ends of the range.
"""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioattack.distances import DISTANCES

if TYPE_CHECKING:
    import pandas as pd

FORMAT_VERSION = 1
RESULTS, SUMMARY, EXAMPLES, TABLES, MODELS = "results.csv.gz", "summary.json", "examples", "tables", "models"
IMAGES, ADVERSARIAL_RECORDS = "images", "records"
AUDIT = "audit.json"

COLUMNS = (
    "image_id",
    "origin_id",
    "label",
    "split",
    "model",
    "attack",
    "norm",
    "epsilon",
    "seed",
    "predicted_clean",
    "predicted_adversarial",
    "correct_clean",
    "success",
    "success_8bit",
    "steps",
    "seconds",
    "l1",
    "l2",
    "linf",
    "rms",
    "margin_clean",
    "margin_adversarial",
    "judged",
    "has_zero_gradient",
    "epsilon_low",
    "epsilon_high",
)
TEXT_COLUMNS = ("image_id", "origin_id", "split", "model", "attack", "norm", "judged")

JUDGED_WORDS = {
    "any": "any iterate (the paper's)",
    "last": "last iterate (Foolbox's)",
    "returned": "the image that the attack returns",
}


def read_results(output: Path) -> "pd.DataFrame":
    """Reads the long table of an evaluation.

    Args:
        output: The evaluation's output folder.

    Returns:
        One row per image, model, norm and epsilon; text columns and groups as ``str`` (a country code
        ``"NA"`` stays text), truth values as ``bool``, numbers exactly as they were written.

    Raises:
        FileNotFoundError: If the folder holds no finished table.
    """
    import pandas as pd

    path = Path(output) / RESULTS
    return read_rows(path, columns=list(pd.read_csv(path, nrows=0).columns), has_header=True)


def read_rows(source: Any, *, columns: Sequence[str], has_header: bool) -> "pd.DataFrame":
    """Reads rows of the long table from a file or stream, with the types of ``read_results``.

    Args:
        source: A path or an open text file.
        columns: All columns in their order; those not in ``COLUMNS`` are distances where they are named as
            these are, probabilities where they are called ``p0``, ``p1``, ..., and groups otherwise.
        has_header: Whether the first line names them.
    """
    import pandas as pd

    distances = [name for name in columns if name in DISTANCES and name not in COLUMNS]
    probabilities = probability_columns(columns)
    groups = set(columns) - set(COLUMNS) - set(distances) - set(probabilities)
    # From 3.1 on pandas always reads floats exactly and warns of being asked to.
    is_exact = tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1)
    exact: dict[str, Any] = {} if is_exact else {"float_precision": "round_trip"}
    return pd.read_csv(
        source,
        header=0 if has_header else None,
        names=list(columns),
        dtype=dict.fromkeys([*TEXT_COLUMNS, *groups], str)
        | dict.fromkeys(("epsilon", "epsilon_low", "epsilon_high", *distances, *probabilities), float),
        keep_default_na=False,
        na_values={name: [""] for name in ("epsilon_low", "epsilon_high", *probabilities)},
        **exact,
    )


def probability_columns(columns: Sequence[str]) -> list[str]:
    """Names the columns that hold the probabilities of the classes, in the order of the classes.

    >>> probability_columns(["image_id", "p1", "p0", "race"])
    ['p0', 'p1']
    """
    found = [name for name in columns if re.fullmatch(r"p\d+", name)]
    return sorted(found, key=lambda name: int(name[1:]))


def read_summary(output: Path) -> dict[str, Any]:
    """Reads ``summary.json`` of an evaluation's output folder."""
    return json.loads((Path(output) / SUMMARY).read_text())


def read_examples(output: Path) -> list[dict[str, Any]]:
    """Reads ``examples/index.json`` of an evaluation's output folder; empty where none were saved."""
    path = Path(output) / EXAMPLES / "index.json"
    return json.loads(path.read_text()) if path.exists() else []


def epsilon_words(epsilon: float, *, norm: str, of_rows: bool = False) -> str:
    """Says an epsilon as a fraction of the pixel range and, for Linf, in steps of 8-bit pixels.

    Args:
        epsilon: The epsilon.
        norm: The norm.
        of_rows: Whether it is one of rows of a table, in the attributes' own units.

    >>> epsilon_words(8 / 255, norm="linf")
    '0.0314 (8/255)'
    >>> epsilon_words(1.5, norm="l2")
    '1.5'
    >>> epsilon_words(float("inf"), norm="ssim")
    'no radius'
    """
    if math.isinf(epsilon):
        return "no radius"
    is_in_steps = norm == "linf" and not of_rows
    return f"{epsilon:.3g} ({epsilon * 255:.3g}/255)" if is_in_steps else f"{epsilon:.3g}"
