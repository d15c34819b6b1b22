"""What happens at the steps and epochs of a run: check, record, show."""

import csv
import math
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from bioattack.errors import InputError
from bioattack.files import replacing
from bioattack.training.classifier_training import ClassifierTraining
from bioattack.training.state import EpochState, save_state


class FiniteLoss(keras.callbacks.Callback):
    """Stops a run at the first step whose loss is not a finite number.

    Args:
        learning_rate: Of the run, for the advice in the message.
        steps_per_epoch: For the message.

    Raises:
        InputError: At that step.
    """

    def __init__(self, *, learning_rate: float, steps_per_epoch: int) -> None:
        super().__init__()
        self._learning_rate = learning_rate
        self._steps_per_epoch = steps_per_epoch
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Notes the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks at the running mean of the loss, in which one NaN stays."""
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            self._stop(f"the loss became {loss} at epoch {self._epoch + 1}, step {batch + 1}")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Looks at the weights: the last step of an epoch can spoil them after its loss was taken."""
        for variable in self.model.classifier.weights:
            if not np.isfinite(np.asarray(variable)).all():
                self._stop(
                    f"the weights {variable.path} hold values that are not finite after epoch {epoch + 1}"
                )

    def _stop(self, what: str) -> None:
        raise InputError(
            f"{what} of {self._steps_per_epoch} steps an epoch; give a --learning-rate below"
            f" {self._learning_rate:g} together with --overwrite (checkpoints/ keeps the last good epoch)"
        )


class EpochRecorder(keras.callbacks.Callback):
    """Writes ``history.csv`` and the state of the run at the end of each epoch.

    Args:
        run: The run folder.
        history: Rows of the epochs done before; new ones are appended.
        identity: Stored with each state, see ``EpochState``.
    """

    model: ClassifierTraining

    def __init__(self, run: Path, *, history: list[dict[str, float]], identity: dict[str, Any]) -> None:
        super().__init__()
        self._run = run
        self._history = history
        self._identity = identity
        self._learning_rate = math.nan

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Notes the learning rate with which the epoch begins."""
        self._learning_rate = float(self.model.optimizer.learning_rate)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves the state first: the history can be written again from it, not the other way round."""
        measured = {
            name.replace("val_", "test_"): float(value)
            for name, value in (logs or {}).items()
            if name != "learning_rate"
        }
        self._history.append({"epoch": epoch + 1, "learning_rate": self._learning_rate, **measured})
        state = EpochState(epoch=epoch + 1, history=tuple(self._history), identity=self._identity)
        save_state(self._run / "checkpoints", state, variables=self.model.state_variables())
        write_history(self._run / "history.csv", self._history)


def write_history(path: Path, history: list[dict[str, float]]) -> None:
    """Writes one row per epoch; numbers in full, so that equal runs give equal files.

    Args:
        path: The CSV file.
        history: Rows with the same keys; with none, only the column ``epoch`` is written.
    """
    columns = list(history[0]) if history else ["epoch"]
    with replacing(path) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)


class Progress(keras.callbacks.Callback):
    """Shows one line per epoch on standard error.

    Args:
        num_epochs: Of the whole run.
        steps_per_epoch: Of each epoch.
    """

    def __init__(self, *, num_epochs: int, steps_per_epoch: int) -> None:
        super().__init__()
        self._num_epochs = num_epochs
        self._steps_per_epoch = steps_per_epoch
        self._bar: tqdm[Any] | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Starts the line."""
        self._bar = tqdm(
            total=self._steps_per_epoch,
            desc=f"epoch {epoch + 1}/{self._num_epochs}",
            unit="step",
            file=sys.stderr,
            dynamic_ncols=True,
            # Into a file or a log, a line a minute is enough.
            mininterval=0.2 if sys.stderr.isatty() else 60,
        )

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Moves the bar."""
        if self._bar is not None:
            self._bar.set_postfix_str(_in_words(logs or {}), refresh=False)
            self._bar.update()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Ends the line with what was measured."""
        if self._bar is not None:
            self._bar.set_postfix_str(_in_words(logs or {}), refresh=False)
            self._bar.close()


def _in_words(logs: dict[str, Any]) -> str:
    return ", ".join(
        f"{name.replace('val_', 'test ')} {float(value):.3f}"
        for name, value in logs.items()
        if name != "learning_rate"
    )
