"""An evaluation's output folder with made-up outcomes, for the tests of what is drawn and written from it.

Each image has a least epsilon at which each model errs; all counts follow from these. Intervals come from
statsmodels.
"""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from statsmodels.stats.proportion import proportion_confint

CLASS_NAMES = ("apple", "bee", "car", "dog", "ear", "fir", "goat", "hat", "ink", "jar")
_RADIUS_OF_L2 = 20.0


@dataclasses.dataclass(frozen=True)
class MadeUpModel:
    """What a model of the made-up evaluation is like.

    Args:
        name: Its display name.
        clean: The share of pictures it gets right.
        strength: The L∞ epsilon at which half of these have fallen.
        has_card: Whether it came from one of our run folders.
        has_random_layers: What its card says of random layers.
    """

    name: str
    clean: float = 0.87
    strength: float = 0.004
    has_card: bool = True
    has_random_layers: bool = False


@dataclasses.dataclass(frozen=True)
class MadeUpEvaluation:
    """What was measured.

    Args:
        models: At least one.
        class_names: Any names.
        num_images: Images in all; labels go round.
        linf, l2: The epsilons; empty leaves the norm out.
        split: The name of the split.
        num_examples: Saved pictures.
        image_size: Height and width of the saved pictures.
        notes: The notes of the summary.
        seed: Of all random numbers.
    """

    models: Sequence[MadeUpModel] = (MadeUpModel("resnet18"),)
    class_names: Sequence[str] = CLASS_NAMES
    num_images: int = 200
    linf: Sequence[float] = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
    l2: Sequence[float] = (0.05, 0.1, 0.2, 0.5, 1.0)
    split: str = "test"
    num_examples: int = 4
    image_size: int = 64
    notes: Sequence[str] = ()
    seed: int = 0


def write_evaluation(output: Path, made_up: MadeUpEvaluation | None = None) -> pd.DataFrame:
    """Writes results.csv.gz, summary.json, examples/ and models/ as an evaluation does.

    Returns:
        The long table, from which a test computes what it expects.
    """
    made_up = made_up or MadeUpEvaluation()
    output.mkdir(parents=True, exist_ok=True)
    table = _long_table(made_up)
    table.to_csv(output / "results.csv.gz", index=False, compression={"method": "gzip", "mtime": 0})
    models = [_write_model(output, model, made_up) for model in made_up.models]
    summary = _settings(made_up) | {"models": models} | _measured(table, made_up)
    (output / "summary.json").write_text(json.dumps(summary))
    _write_examples(output / "examples", table, made_up)
    return table


def _long_table(made_up: MadeUpEvaluation) -> pd.DataFrame:
    random = np.random.default_rng(made_up.seed)
    labels = np.arange(made_up.num_images) % len(made_up.class_names)
    difficulty = random.random(made_up.num_images)
    frames = []
    for model in made_up.models:
        difficulty_here = np.argsort(np.argsort(0.7 * difficulty + 0.3 * random.random(labels.size)))
        correct = difficulty_here < round(model.clean * labels.size)
        least = model.strength * np.exp(random.normal(0, 0.8, labels.size))
        settings = [("none", "none", 0.0)]
        settings += [("pgd", "linf", epsilon) for epsilon in made_up.linf]
        settings += [("pgd", "l2", epsilon) for epsilon in made_up.l2]
        for attack, norm, epsilon in settings:
            radius = epsilon / _RADIUS_OF_L2 if norm == "l2" else epsilon
            success = correct & (least <= radius) & (attack != "none")
            wrong = (labels + 1) % len(made_up.class_names)
            frames.append(
                pd.DataFrame(
                    {
                        "image_id": [f"{made_up.split}/{index:05d}.png" for index in range(labels.size)],
                        "label": labels,
                        "split": made_up.split,
                        "model": model.name,
                        "attack": attack,
                        "norm": norm,
                        "epsilon": epsilon,
                        "predicted_clean": np.where(correct, labels, wrong),
                        "predicted_adversarial": np.where(correct & ~success, labels, wrong),
                        "correct_clean": correct,
                        "success": success,
                        "success_8bit": success & (least <= 0.9 * radius) & (epsilon * 255 > 0.4),
                        "judged": "none" if attack == "none" else "any",
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)


def _interval(count: int, total: int, suffix: str = "") -> dict[str, float]:
    low, high = proportion_confint(count, total, method="wilson")
    return {f"low{suffix}": float(low), f"high{suffix}": float(high)}


def _measured(table: pd.DataFrame, made_up: MadeUpEvaluation) -> dict[str, Any]:
    clean, adversarial, per_class = [], [], []
    for (model, attack, norm, epsilon), rows in table.groupby(
        ["model", "attack", "norm", "epsilon"], sort=False
    ):
        setting = {"model": model, "attack": attack, "norm": norm, "epsilon": epsilon}
        right = rows.correct_clean & ~rows.success
        total = {"num_images": len(rows)}
        if attack == "none":
            count = int(right.sum())
            clean.append(
                {"model": model, "num_correct": count, "accuracy": count / len(rows)}
                | total
                | _interval(count, len(rows))
            )
        else:
            adversarial.append(setting | total | _adversarial(rows))
        for label, name in enumerate(made_up.class_names):
            of_class = right[rows.label == label]
            if len(of_class):
                count = int(of_class.sum())
                per_class.append(
                    setting
                    | {"label": label, "class_name": name, "num_images": len(of_class), "num_correct": count}
                    | {"accuracy": count / len(of_class)}
                    | _interval(count, len(of_class))
                )
    return {"clean": clean, "adversarial": adversarial, "per_class": per_class}


def _adversarial(rows: pd.DataFrame) -> dict[str, Any]:
    total, missed = len(rows), int((~rows.correct_clean).sum())
    success, success_8bit = int(rows.success.sum()), int(rows.success_8bit.sum())
    right, right_8bit = total - missed - success, total - missed - success_8bit
    epsilon = float(rows.epsilon.iloc[0])
    return {
        "epsilon_words": f"{epsilon:.3g}",
        "judged": "any",
        "num_misclassified": missed,
        "num_success": success,
        "accuracy": right / total,
        "num_success_8bit": success_8bit,
        "accuracy_8bit": right_8bit / total,
        "mean_l1": 12.0 * epsilon if success else None,
        "mean_l2": 0.9 * epsilon if success else None,
        "mean_linf": 0.95 * epsilon if success else None,
        "mean_steps": 4.2 if success else None,
        "num_zero_gradient": 0,
        "seconds": 3.25,
    } | (_interval(right, total) | _interval(right_8bit, total, "_8bit"))


def _settings(made_up: MadeUpEvaluation) -> dict[str, Any]:
    norms = [norm for norm in ("linf", "l2") if getattr(made_up, norm)]
    classes = {"linf": "LinfBasicIterativeAttack", "l2": "L2BasicIterativeAttack"}
    return {
        "format_version": 1,
        "settings": {
            "model": [f"runs/{model.name}" for model in made_up.models],
            "data": "records/synthetic",
            "split": made_up.split,
            "limit": made_up.num_images,
            "protocol": "paper",
            "norms": norms,
            "epsilons": {norm: list(getattr(made_up, norm)) for norm in norms},
            "steps": dict.fromkeys(norms, 20),
            "batch_size": 50,
            "seed": 0,
            "outputs": "logits",
            "input_range": [0.0, 1.0],
        },
        "protocol": {
            "name": "paper",
            "judged": "any",
            "judged_words": "any iterate (the paper's)",
            "attacks": [
                {
                    "norm": norm,
                    "attack": "pgd",
                    "foolbox_class": classes[norm],
                    "steps": 20,
                    "relative_step": 1 / 3,
                    "has_random_start": False,
                }
                for norm in norms
            ],
        },
        "data": {
            "path": "records/synthetic",
            "kind": "synthetic",
            "fingerprint": "5f" * 32,
            "split": made_up.split,
            "num_images": made_up.num_images,
            "class_names": list(made_up.class_names),
            "image_shape": [made_up.image_size, made_up.image_size, 3],
            "groups": [],
        },
        "notes": list(made_up.notes),
        "versions": {
            "bioattack": "0.1.0",
            "python": "3.11.2",
            "tensorflow": "2.21.0",
            "keras": "3.15.1",
            "foolbox": "3.3.4",
            "numpy": "2.4.0",
        },
        "git_commit": "0123456789abcdef0123456789abcdef01234567",
        "device": "CPU",
        "seconds": 81.3,
    }


def _write_model(output: Path, model: MadeUpModel, made_up: MadeUpEvaluation) -> dict[str, Any]:
    place = {"name": model.name, "source": f"runs/{model.name}", "fingerprint": "ab" * 32}
    if not model.has_card:
        return place | {"folder": None, "num_parameters": None, "card": None}
    index = list(made_up.models).index(model)
    folder = output / "models" / f"model-{index}"
    folder.mkdir(parents=True, exist_ok=True)
    card = {
        "format_version": 1,
        "model": "resnet18",
        "model_options": {"width": 16},
        "preset": "small",
        "training": "standard",
        "class_names": list(made_up.class_names),
        "image_shape": [made_up.image_size, made_up.image_size, 3],
        "num_parameters": 701_082,
        "has_random_layers": model.has_random_layers,
        "seed": 0,
        "epochs": 12,
        "data": {"path": "records/synthetic", "kind": "synthetic", "fingerprint": "5f" * 32},
        "accuracy": {"train": 0.97, "test": model.clean, "num_test": made_up.num_images},
    }
    (folder / "model_card.json").write_text(json.dumps(card))
    lines = ["epoch,accuracy,loss,val_accuracy,val_loss,learning_rate"]
    for epoch in range(12):
        reached = 1 - math.exp(-(epoch + 1) / (3 + index))
        wiggle = 0.03 * math.sin(2.1 * epoch + index)
        held_out = min(1.0, max(0.0, model.clean * reached + wiggle))
        lines.append(f"{epoch},{0.99 * reached:.4f},{2.3 * (1 - reached):.4f},{held_out:.4f},1.1,0.001")
    (folder / "history.csv").write_text("\n".join(lines) + "\n")
    return place | {"folder": f"models/model-{index}", "num_parameters": 701_082, "card": card}


def _write_examples(folder: Path, table: pd.DataFrame, made_up: MadeUpEvaluation) -> None:
    if not made_up.num_examples:
        return
    folder.mkdir(exist_ok=True)
    first = table[(table.model == made_up.models[0].name) & (table.attack == "none") & table.correct_clean]
    chosen = first.drop_duplicates("label").image_id.head(made_up.num_examples).tolist()
    index = []
    for place, image_id in enumerate(chosen):
        pixels = _picture(made_up.image_size, place)
        _save(folder / f"{place:02d}-original.png", pixels)
        rows = table[(table.image_id == image_id) & (table.attack != "none")]
        for number, row in enumerate(rows.itertuples()):
            index.append(_example(folder, pixels, row=row, stem=f"{place:02d}-{number:02d}", made_up=made_up))
    (folder / "index.json").write_text(json.dumps(index))


def _example(folder: Path, pixels: Any, *, row: Any, stem: str, made_up: MadeUpEvaluation) -> dict[str, Any]:
    random = np.random.default_rng(int(stem.replace("-", "")))
    scale = row.epsilon if row.norm == "linf" else row.epsilon / 40
    perturbation = scale * np.sign(random.normal(size=pixels.shape))
    _save(folder / f"{stem}.png", pixels + perturbation)
    _save(folder / f"{stem}-difference.png", 0.5 + 0.5 * perturbation / max(scale, 1e-12))
    names = made_up.class_names
    return {
        "image_id": row.image_id,
        "label": row.label,
        "class_name": names[row.label],
        "model": row.model,
        "attack": row.attack,
        "norm": row.norm,
        "epsilon": row.epsilon,
        "epsilon_words": f"{row.epsilon:.3g}",
        "original": f"{stem[:2]}-original.png",
        "adversarial": f"{stem}.png",
        "difference": f"{stem}-difference.png",
        "difference_scale": max(scale, 1e-12),
        "predicted_clean": row.predicted_clean,
        "predicted_clean_name": names[row.predicted_clean],
        "predicted_adversarial": row.predicted_adversarial,
        "predicted_adversarial_name": names[row.predicted_adversarial],
        "success": row.success,
        "success_8bit": row.success_8bit,
        "l1": 1.0,
        "l2": 0.3,
        "linf": scale,
        "margin_clean": 4.2 if row.correct_clean else -0.7,
        "margin_adversarial": -2.4 if row.predicted_adversarial != row.label else 1.3,
    }


def _picture(size: int, place: int) -> Any:
    random = np.random.default_rng(place)
    y, x = np.mgrid[0:size, 0:size] / size
    colours = random.random((2, 3))
    ground = colours[0] * (0.5 + 0.4 * y[..., None]) + 0.05 * random.normal(size=(size, size, 3))
    inside = (x - 0.5) ** 2 + (y - 0.55) ** 2 < (0.2 + 0.03 * place) ** 2
    return np.where(inside[..., None], colours[1] * (0.6 + 0.5 * x[..., None]), ground).clip(0, 1)


def _save(path: Path, pixels: Any) -> None:
    Image.fromarray(np.round(255 * np.clip(pixels, 0, 1)).astype("uint8")).save(path)
