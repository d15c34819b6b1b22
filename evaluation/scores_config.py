"""What ``bioattack-fairness classes`` and ``groups`` are told; read without pandas, so that help is quick."""

import dataclasses
from pathlib import Path
from typing import Any

from bioattack.errors import InputError

INTERVALS = ("bounds", "percentile", "bca")

# Where things lie or how they are shown decides no number.
_NOT_COMPARED = ("output", "overwrite", "dry_run", "quiet", "json", "results")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoresConfig:
    """Everything that decides the scores of models on the same images.

    Args:
        results: The folder of an evaluation or attack, its results.csv.gz, or a CSV or NPZ with a row per
            image (label, and predicted, correct or probabilities p0, p1, ...); give it several times for
            models side by side. The models after the first are compared with it image by image.
        output: Folder to write.
        attack: Look at this attack only; by default at all in the tables.
        norm: Look at this norm of it only.
        epsilon: Look at this epsilon of it only.
        class_names: Names of the classes in the order of their numbers and probabilities; by default those
            beside an evaluation's table, or what the tables call them.
        minimum_count: Leave out groups with fewer images, and list them; 0 leaves out none, and a class or
            group without images is then an error.
        interval: "bounds" holds also where groups are alike; "percentile" and "bca" are the plain
            bootstrap's, which then never contain the truth.
        draws: Bootstrap draws, and as many permutations.
        seed: Of these draws.
        overwrite: Replace what this command has left in the output folder before.
        dry_run: Read and check everything, say what would be done, and write nothing.
        quiet: No notes on standard error.
        json: Print the result as one JSON object.
    """

    results: tuple[Path, ...] = dataclasses.field(metadata={"repeat": True})
    output: Path
    attack: str | None = None
    norm: str | None = None
    epsilon: float | None = None
    class_names: tuple[str, ...] = ()
    minimum_count: int = 0
    interval: str = dataclasses.field(default="bounds", metadata={"choices": INTERVALS})
    draws: int = 2000
    seed: int = 0
    overwrite: bool = False
    dry_run: bool = False
    quiet: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        """Refuses what cannot be used before anything is read.

        Raises:
            InputError: If a number is out of range or a table is named twice.
        """
        if self.minimum_count < 0:
            raise InputError(f"--minimum-count must be at least 0. Received: {self.minimum_count}")
        if not 100 <= self.draws <= 100_000:
            raise InputError(f"--draws must be in 100 to 100000. Received: {self.draws}")
        if not 0 <= self.seed < 2**31:
            raise InputError(f"--seed must be in 0 to 2147483647. Received: {self.seed}")
        if self.attack is None and (self.norm, self.epsilon) != (None, None):
            raise InputError("--norm and --epsilon are of an attack: name it with --attack")
        names = self.class_names
        if names and (len(set(names)) != len(names) or len(names) < 2):
            raise InputError(
                f"--class-names must be two or more different names. Received: {' '.join(names)}"
            )
        seen: set[Path] = set()
        for path in self.results:
            if path.resolve() in seen:
                raise InputError(f"{path} is given twice: the same model beside itself; give each table once")
            seen.add(path.resolve())

    @property
    def kind(self) -> str:
        """The question: ``"classes"`` or ``"groups"``."""
        return "classes"

    @property
    def grouped_by(self) -> str:
        """The column that says of which group an image is.

        >>> ClassesConfig(results=(Path("a"),), output=Path("o")).grouped_by
        'label'
        """
        return "label"

    def settings(self) -> dict[str, Any]:
        """Returns what decides the numbers beside the tables themselves, as JSON takes it."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in fields.items() if name not in _NOT_COMPARED}

    def inputs(self) -> dict[str, list[str]]:
        """Returns the paths of what is read, by flag."""
        return {"results": [str(path) for path in self.results]}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassesConfig(ScoresConfig):
    """Everything that decides the scores by class."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class GroupsConfig(ScoresConfig):
    """Everything that decides the scores by group.

    Args:
        column: Name of the column that says of which group an image is.
        positive: The class whose frequency counts in demographic parity and equalised odds; by default the
            second of two, and each of more.
        all_pairs: Print EOU for the confidence of every class within every true class.
    """

    column: str
    positive: str | None = None
    all_pairs: bool = False

    def __post_init__(self) -> None:
        """Refuses what cannot be used before anything is read.

        Raises:
            InputError: As for the scores by class, or if the groups are the classes.
        """
        super().__post_init__()
        if self.column == "label":
            raise InputError("--column label asks for the classes: that is bioattack-fairness classes")

    @property
    def kind(self) -> str:
        """The question."""
        return "groups"

    @property
    def grouped_by(self) -> str:
        """The column that says of which group an image is."""
        return self.column
