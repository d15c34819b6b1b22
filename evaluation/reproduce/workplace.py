"""The output folder of reproductions: whose it is, its records, its runs, and what was measured of them.

Everything that takes time lies in a file of its own and is not done twice, whichever experiment asks for it::

    OUTPUT/
      settings.json                   what all of it was made with; other settings need another folder
      records/, memory_records/       the drawn pictures of the demonstration
      pictures/, digits/              records that are attacked with what people cannot see
      income/                         pictures, datasets and networks of the experiments on income
      classifiers/                    published networks that are attacked, as .keras files
      runs/LABEL-seedN/               run folders, as bioattack-train makes them
      evaluations/LABEL-seedN/        evaluations, as bioattack-evaluate makes them
      rebuilt/                        the same networks with other options at test time
      attacks/                        long tables of further attacks
      measurements/*.json             what else was measured
      tables/*.csv, figures/*.png     of the experiments
      summary.json                    their sections, values included
      report.md, report.html          written from summary.json
"""

import dataclasses
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from bioattack.evaluation import output_folder
from bioattack.evaluation.config import EvaluateConfig
from bioattack.evaluation.evaluate import evaluate
from bioattack.evaluation.reproduce.config import ReproduceConfig, Scale
from bioattack.evaluation.reproduce.experiment import Experiment, Row, Variant
from bioattack.evaluation.results import read_results, read_summary
from bioattack.files import replacing
from bioattack.tfrecords_builder.reading import Records
from bioattack.training.config import TrainConfig
from bioattack.training.run import train
from bioattack.training.run_folder import CARD, read_finished_card

SETTINGS, SUMMARY = "settings.json", "summary.json"
RECORDS, MEMORY_RECORDS = "records", "memory_records"
PICTURES, DIGITS, CLASSIFIERS, INCOME = "pictures", "digits", "classifiers", "income"
RUNS, EVALUATIONS, REBUILT = "runs", "evaluations", "rebuilt"
ATTACKS, MEASUREMENTS, TABLES, FIGURES = "attacks", "measurements", "tables", "figures"


@dataclasses.dataclass
class Workplace:
    """Where experiments find their networks and leave what they made.

    Args:
        config: What the user gave.
        scale: How large everything is.
        records: The pictures; None where no experiment needs any.
        kept: What experiments have loaded and others of the same command use again.
    """

    config: ReproduceConfig
    scale: Scale
    records: Records | None = None
    kept: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def output(self) -> Path:
        """The output folder."""
        return self.config.output

    @property
    def data(self) -> Path:
        """The records folder."""
        return self.pictures.directory

    @property
    def pictures(self) -> Records:
        """The records.

        Raises:
            ValueError: If there are none, because no experiment said that it needs them.
        """
        if self.records is None:
            raise ValueError("records must be open: the experiment has to say that it needs them")
        return self.records

    def rows(self, experiment: Experiment) -> tuple[Row, ...]:
        """Returns the experiment's rows, those that ``--models`` names if it names any."""
        wanted = self.config.models
        return tuple(row for row in experiment.rows if not wanted or row.variant.label in wanted)

    def run_folder(self, variant: Variant, seed: int) -> Path:
        """Returns where a network's run is, or will be."""
        return self.output / RUNS / f"{variant.label}-seed{seed}"

    def evaluation(self, variant: Variant, seed: int) -> Path:
        """Returns where a network's evaluation is, or will be."""
        return self.output / EVALUATIONS / f"{variant.label}-seed{seed}"

    def card(self, variant: Variant, seed: int) -> dict[str, Any]:
        """Reads the model card of a finished run."""
        return json.loads((self.run_folder(variant, seed) / CARD).read_text())

    def results(self, variant: Variant, seed: int) -> pd.DataFrame:
        """Reads the long table of a finished evaluation."""
        return read_results(self.evaluation(variant, seed))

    def train_config(self, variant: Variant, seed: int) -> TrainConfig:
        """Says how a network is trained."""
        return TrainConfig(
            model=variant.model,
            data=self.data,
            output=self.run_folder(variant, seed),
            preset=self.scale.model_preset,
            model_options=variant.options_at(self.scale),
            epochs=self.scale.epochs,
            batch_size=self.scale.batch_size,
            seed=seed,
            limit=self.scale.train_limit,
            quiet=self.config.quiet,
        )

    def train(self, variant: Variant, seed: int) -> None:
        """Trains a network, or goes on with its training, unless it is trained."""
        if read_finished_card(self.run_folder(variant, seed)):
            return
        keras.utils.clear_session(free_memory=True)
        start = time.perf_counter()
        result = train(self.train_config(variant, seed))
        num_epochs = self.scale.epochs - result.first_epoch
        seconds = (time.perf_counter() - start) / max(1, num_epochs)
        self.remember(f"training-{variant.label}-seed{seed}", lambda: {"seconds_per_epoch": seconds})

    def evaluate(self, variant: Variant, seed: int) -> None:
        """Measures a trained network as it is and under the paper's attack, unless that is done."""
        folder = self.evaluation(variant, seed)
        # Spares the time to load the network, which evaluating it again would take only to find out.
        is_complete = output_folder.is_complete(folder)
        if is_complete and read_summary(folder)["models"][0]["card"] == self.card(variant, seed):
            return
        keras.utils.clear_session(free_memory=True)
        evaluate(
            EvaluateConfig(
                model=(self.run_folder(variant, seed),),
                data=self.data,
                output=folder,
                limit=self.scale.test_limit,
                protocol="paper",
                norms=("linf",),
                epsilons=self.scale.epsilons,
                quiet=self.config.quiet,
            )
        )

    def remember(self, key: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Measures something once: the next time, and in the next run of the command, it is read.

        Args:
            key: Name of the file in ``measurements/``.
            measure: Gives what JSON can hold.
        """
        path = self.output / MEASUREMENTS / f"{key}.json"
        if not path.is_file():
            found = measure()
            path.parent.mkdir(exist_ok=True)
            with replacing(path) as partial:
                partial.write_text(json.dumps(found, indent=2) + "\n")
        return json.loads(path.read_text())

    def keep(self, key: str, make: Callable[[], Any]) -> Any:
        """Makes something once for all experiments of this command."""
        if key not in self.kept:
            self.kept[key] = make()
        return self.kept[key]

    def write_table(self, name: str, table: pd.DataFrame) -> None:
        """Writes ``tables/NAME.csv``."""
        folder = self.output / TABLES
        folder.mkdir(exist_ok=True)
        with replacing(folder / f"{name}.csv") as partial:
            table.to_csv(partial, index=False, lineterminator="\n")

    def figure(self, name: str) -> Path:
        """Returns the path for ``figures/NAME.png``; the folder is there."""
        folder = self.output / FIGURES
        folder.mkdir(exist_ok=True)
        return folder / f"{name}.png"

    def say(self, text: str) -> None:
        """Writes a line of progress."""
        if not self.config.quiet:
            sys.stderr.write(f"{text}\n")
