"""What a reproduction would do, and how long it would take on this machine."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from bioattack.evaluation.reproduce.config import ReproduceConfig
from bioattack.evaluation.reproduce.experiment import Experiment, Variant
from bioattack.evaluation.reproduce.opening import check_folder
from bioattack.evaluation.reproduce.timing import (
    ATTACK_STEPS,
    duration_words,
    evaluation_seconds,
    time_steps,
    training_seconds,
)
from bioattack.tfrecords_builder.reading import open_records

_NUM_CLASSES = 10
_WIDTHS = (13, 24, 11, 16)


class Subject(NamedTuple):
    """The pictures, as far as they are known before there are any."""

    image_shape: tuple[int, ...]
    num_classes: int
    num_train: int
    num_test: int
    is_assumed: bool


def describe(
    config: ReproduceConfig, experiments: Sequence[Experiment], variants: Sequence[Variant]
) -> dict[str, Any]:
    """Times a few steps of every network and reckons the whole from them; writes nothing.

    Args:
        config: What the user gave.
        experiments: What would be made.
        variants: What would be trained.

    Returns:
        ``experiments``, ``pictures``, ``settings``, ``networks`` (a dictionary each), ``seconds`` in all.
    """
    check_folder(config)
    scale, subject = config.scale(), _subject(config)
    networks: list[dict[str, Any]] = []
    for variant in variants:
        times = time_steps(variant, scale, image_shape=subject.image_shape, num_classes=subject.num_classes)
        training = training_seconds(times, scale, num_train=subject.num_train, num_test=subject.num_test)
        evaluation = evaluation_seconds(times, scale, num_test=subject.num_test)
        networks.append(
            {
                "label": variant.label,
                "model": variant.model,
                "options": variant.options_at(scale),
                "num_parameters": times.num_parameters,
                "training_step_seconds_per_image": times.training,
                "attack_step_seconds_per_image": times.attack,
                "timed_batch_size": times.batch_size,
                "training_seconds": training,
                "evaluation_seconds_at_most": evaluation,
            }
        )
    seconds = sum(one["training_seconds"] + one["evaluation_seconds_at_most"] for one in networks)
    return {
        "status": "dry run",
        "output": str(config.output),
        "experiments": [experiment.name for experiment in experiments],
        "pictures": subject._asdict(),
        "settings": {
            "preset": config.preset,
            "epochs": scale.epochs,
            "batch_size": scale.batch_size,
            "epsilons": list(scale.epsilons),
            "seeds": list(config.all_seeds),
        },
        "networks": networks,
        "seconds": config.seeds * seconds,
    }


def _subject(config: ReproduceConfig) -> Subject:
    scale = config.scale()
    if config.data is None or config.data.suffix == ".zip":
        side = scale.image_size
        return Subject((side, side, 3), _NUM_CLASSES, scale.num_train, scale.num_test, is_assumed=True)
    records = open_records(config.data)
    num_train, num_test = (
        records.num_examples(split) if split in records.splits else 0 for split in ("train", "test")
    )
    return Subject(records.input_shape, records.num_classes, num_train, num_test, is_assumed=False)


def plan_lines(plan: dict[str, Any]) -> list[str]:
    """Says a plan in lines for people."""
    pictures, settings, networks = plan["pictures"], plan["settings"], plan["networks"]
    shape = " x ".join(map(str, pictures["image_shape"]))
    kind = "pictures that are assumed" if pictures["is_assumed"] else "pictures of the records"
    if len(pictures["image_shape"]) == 1:
        kind, shape = "rows of the records", f"{shape} attributes"
    lines = [
        f"would make {', '.join(plan['experiments'])} in {plan['output']}, preset {settings['preset']}:",
        f"  {pictures['num_train']:,} training and {pictures['num_test']:,} test {kind}, {shape}",
    ]
    if not networks:
        return [*lines, "  what it trains and attacks is said in its sections; the time is not reckoned"]
    steps = f"{ATTACK_STEPS} steps at epsilons {' '.join(map(str, settings['epsilons']))}"
    lines += [
        f"  each network: {settings['epochs']} epochs, batches of {settings['batch_size']}, seeds "
        f"{' '.join(map(str, settings['seeds']))}; attacked with {steps}",
        "",
        _line("network", "parameters", "ms a picture, training", "training", "attack at most"),
    ]
    lines += [
        _line(
            one["label"],
            f"{one['num_parameters']:,}",
            f"{1000 * one['training_step_seconds_per_image']:.1f}",
            duration_words(one["training_seconds"]),
            duration_words(one["evaluation_seconds_at_most"]),
        )
        for one in networks
    ]
    batch = networks[0]["timed_batch_size"]
    return [
        *lines,
        "",
        f"  about {duration_words(plan['seconds'])} on this machine for all seeds, reckoned from the fastest "
        f"of three steps of each network with batches of {batch}, once it is traced; what is measured "
        "besides (random gazes, further attacks, memory) comes on top",
    ]


def _line(name: str, *cells: str) -> str:
    return f"  {name:<26}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, _WIDTHS, strict=True))
