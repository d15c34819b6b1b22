"""``bioattack-train``: from a records folder to a trained model."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioattack.cli.common import DONE, Command, open_streams, parse, prepare_tensorflow, print_result, run
from bioattack.errors import InputError
from bioattack.training.many_config import ManyConfig

if TYPE_CHECKING:
    from bioattack.training.run import TrainResult

COMMAND = Command(
    name="bioattack-train",
    summary=(
        "Trains a network on a records folder and writes a run folder: model.keras, saved_model/,"
        " model_card.json, history.csv, config.toml, checkpoints/ and tensorboard/. The same command goes on"
        " where a killed one stopped. With --models or --leave-one-out it trains many models, some at a time."
    ),
    example="bioattack-train --model resnet18 --data records/synthetic --output runs/resnet18 --epochs 12",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    open_streams()
    return run(COMMAND, lambda: _work(parse(ManyConfig, COMMAND, sys.argv[1:] if argv is None else argv)))


def _work(config: ManyConfig) -> int:
    from bioattack.training.config import make_plan

    if config.is_many:
        from bioattack.cli.train_many import train_many_models

        return train_many_models(config)
    # Before the seconds that TensorFlow takes to start.
    make_plan(config.single())
    prepare_tensorflow()
    from bioattack.training.run import train

    result = train(config.single())
    summary = {"output": str(result.output), "status": result.status, "first_epoch": result.first_epoch}
    found, lines = _adversarial_dataset(result)
    print_result({**summary, **result.details, **found}, [*_lines(result), *lines], as_json=config.json)
    return DONE


def _adversarial_dataset(result: "TrainResult") -> tuple[dict[str, Any], list[str]]:
    """What came of the dataset of ``--training dro``, where it is still there."""
    if result.details["training"] != "dro" or result.status == "dry run":
        return {}, []
    from bioattack.training.dro_dataset import read_summary
    from bioattack.training.dro_summary import summary_words
    from bioattack.training.run_folder import ADVERSARIAL

    given = result.details["training_options"]["dataset"]
    try:
        found = read_summary(Path(given) if given else result.output / ADVERSARIAL)
    except InputError:
        return {}, []
    return {"adversarial_dataset": found}, [summary_words(found)]


def _lines(result: "TrainResult") -> list[str]:
    found = result.details
    if result.status == "dry run":
        return [
            f"would train {found['model']} ({found['num_parameters']:,} parameters) on {found['num_train']:,}"
            f" {_examples(found)} in {found['num_classes']} classes:",
            f"  epochs {result.first_epoch + 1} to {found['epochs']} of {found['steps_per_epoch']:,} steps of"
            f" {found['batch_size']} pictures, {found['steps']:,} steps in all",
            f"  checkpoints of at most {found['checkpoints_bytes'] / 1e6:,.1f} MB in {result.output}",
            *(f"  {line}" for line in _training_lines(found)),
        ]
    accuracy = found["accuracy"]
    lines = [
        f"{result.output}: {found['model']}, {found['num_parameters']:,} parameters,"
        f" {found['epochs']} epoch{'s' * (found['epochs'] != 1)}, {result.status}",
        *_training_lines(found),
        f"accuracy on {accuracy['num_train']:,} training pictures: {100 * accuracy['train']:.2f} %",
    ]
    if accuracy["num_test"]:
        lines.append(f"accuracy on {accuracy['num_test']:,} test pictures: {100 * accuracy['test']:.2f} %")
    return lines + found.get("notes", [])  # runs of earlier versions have none


def _examples(found: dict[str, Any]) -> str:
    shape = found["image_shape"]
    return (
        f"rows of {shape[0]} attributes" if len(shape) == 1 else f"pictures of {' x '.join(map(str, shape))}"
    )


def _training_lines(found: dict[str, Any]) -> list[str]:
    """One line on a way of training with settings of its own; none on the standard one."""
    settings = found.get("training_options") or {}
    words = [
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {str(value).lower()}"
        for name, value in settings.items()
    ]
    return [f"training {found['training']}: {', '.join(words)}"] if words else []


if __name__ == "__main__":
    sys.exit(main())
