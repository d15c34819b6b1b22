"""What ``bioattack-fairness income`` is told; read without pandas, so that ``--help`` answers at once."""

import dataclasses
from pathlib import Path
from typing import Any

from bioattack.errors import InputError

COVARIANCES = ("printed", "binomial", "equal")
LOGARITHMS = ("natural", "base10")
TESTS = ("paired", "welch", "permutation")

# Where things lie or how they are shown decides no number.
_NOT_COMPARED = ("output", "overwrite", "dry_run", "quiet", "json", "results", "against", "pretrained", "gdp")


@dataclasses.dataclass(frozen=True)
class IncomeConfig:
    """Everything that decides a regression of accuracy on income.

    Args:
        results: The folder of an evaluation, its results.csv.gz, or a CSV with the columns country,correct or
            country,accuracy,n (and model, gdp where there are such); give it several times for a set of
            models.
        output: Folder to write.
        against: A second set of models, given like the first one; whether the first set's slopes are smaller
            is then tested.
        pretrained: The table of the model that both sets started from; it is marked in the figure of the two
            sets and tested by itself.
        set_names: What the two sets are called in figures and tables.
        column: Name of the column that says of which country a picture is.
        attack: Rows of results tables to count; "none" is the pictures as they are.
        norm: Norm of that attack, where the table has several.
        epsilon: Epsilon of that attack, where the table has several.
        gdp: GDP per capita by country, as a CSV of iso3,gdp_per_capita or as the World Bank offers it for
            download; by default a built-in table. A column gdp of the results goes before it.
        year: Of GDP per capita; by default the latest in the table.
        covariance: How accuracies scatter with the n images of a country; "printed" is 1/sqrt(n), the
            paper's, "binomial" is 1/n, "equal" does not depend on n.
        logarithm: Of GDP per capita.
        minimum_images: Leave out countries with fewer images.
        test: For two sets of models; those of one place or number are pairs in the paired test.
        find_slope: Say how many countries would find this slope, and how surely this sample does.
        find_difference: Say how many pairs of models would find this difference of mean slopes.
        simulations: Tables to draw to see how often the F test errs on this sample; 0 draws none.
        seed: Of these draws and of the permutation test.
        overwrite: Replace what this command has left in the output folder before.
        dry_run: Read and check everything, say what would be done, and write nothing.
        quiet: No notes on standard error.
        json: Print the result as one JSON object.
    """

    results: tuple[Path, ...] = dataclasses.field(metadata={"repeat": True})
    output: Path
    against: tuple[Path, ...] = dataclasses.field(default=(), metadata={"repeat": True})
    pretrained: Path | None = None
    set_names: tuple[str, ...] = ("first set", "second set")
    column: str = "country"
    attack: str = "none"
    norm: str | None = None
    epsilon: float | None = None
    gdp: Path | None = None
    year: int | None = None
    covariance: str = dataclasses.field(default="printed", metadata={"choices": COVARIANCES})
    logarithm: str = dataclasses.field(default="natural", metadata={"choices": LOGARITHMS})
    minimum_images: int = 1
    test: str = dataclasses.field(default="paired", metadata={"choices": TESTS})
    find_slope: float | None = None
    find_difference: float | None = None
    simulations: int = 2000
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
        if self.minimum_images < 1:
            raise InputError(f"--minimum-images must be at least 1. Received: {self.minimum_images}")
        if not 0 <= self.simulations <= 100_000:
            raise InputError(f"--simulations must be in 0 to 100000. Received: {self.simulations}")
        if not 0 <= self.seed < 2**31:
            raise InputError(f"--seed must be in 0 to 2147483647. Received: {self.seed}")
        for name in ("find_slope", "find_difference"):
            value = getattr(self, name)
            if value is not None and not 0 < abs(value) < 1e6:
                raise InputError(
                    f"--{name.replace('_', '-')} must be a number other than 0. Received: {value}"
                )
        if self.find_difference is not None and self.find_difference < 0:
            raise InputError("--find-difference is the second set's mean less the first's, and above 0")
        if len(self.set_names) != 2 or self.set_names[0] == self.set_names[1]:
            raise InputError(f"--set-names takes two names that differ. Received: {' '.join(self.set_names)}")
        self._check_tables()

    def _check_tables(self) -> None:
        seen: set[Path] = set()
        for path in self.tables():
            place = path.resolve()
            if place in seen:
                raise InputError(f"{path} is given twice; give each table once")
            seen.add(place)

    def tables(self) -> list[Path]:
        """Returns all tables: the first set's, the second set's, the pretrained model's.

        >>> IncomeConfig((Path("a.csv"),), Path("out"), pretrained=Path("b.csv")).tables()
        [PosixPath('a.csv'), PosixPath('b.csv')]
        """
        return [*self.results, *self.against, *([self.pretrained] if self.pretrained else [])]

    def settings(self) -> dict[str, Any]:
        """Returns what decides the numbers beside the tables themselves, as JSON takes it."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        kept = {name: value for name, value in fields.items() if name not in _NOT_COMPARED}
        return kept | {"set_names": list(self.set_names)}

    def inputs(self) -> dict[str, list[str]]:
        """Returns the paths of what is read, by flag."""
        return {
            "results": [str(path) for path in self.results],
            "against": [str(path) for path in self.against],
            "pretrained": [str(self.pretrained)] if self.pretrained else [],
            "gdp": [str(self.gdp)] if self.gdp else [],
        }
