"""Reads a table with a row per image, from CSV or NPZ, with only the columns that scores need."""

import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bioattack.errors import InputError
from bioattack.fairness.country_tables import FALSE_WORDS, RESULTS, TRUE_WORDS

if TYPE_CHECKING:
    import pandas as pd

_RESULTS_NEED = ("model", "attack", "norm", "epsilon", "correct_clean", "success", "label")
_NUMBERS = ("epsilon", "epsilon_low", "epsilon_high")
CLASS_COLUMNS = ("label", "predicted", "predicted_clean", "predicted_adversarial")
_CATEGORIES = (
    *("model", "attack", "norm", *CLASS_COLUMNS),
    *("correct_clean", "success", "correct"),
)


def is_results_table(columns: Any) -> bool:
    """Whether these are the columns of an evaluation's long table.

    >>> is_results_table(["label", "predicted"])
    False
    """
    return "correct_clean" in columns


def read_row_table(path: Path, *, column: str) -> tuple["pd.DataFrame", Path]:
    r"""Reads the columns that scores need.

    Args:
        path: A folder with ``results.csv.gz``, a CSV or an NPZ.
        column: One more column, that of the groups.

    Returns:
        The rows (words as categories, epsilons and probabilities as numbers), and the file.

    Raises:
        InputError: If there is no such file or column, or it cannot be read.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.csv"
    ...     _ = path.write_text("label,predicted,unused\n1,1,x\n")
    ...     list(read_row_table(path, column="label")[0])
    ['label', 'predicted']
    """
    file = path / RESULTS if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"there is no table {file}; give a folder with {RESULTS}, a CSV or an NPZ file")
    table = _read_npz(file, column) if file.suffix == ".npz" else _read_csv(file, column)
    if table.empty:
        raise InputError(f"{file} has no rows")
    for name in (name for name in table if _is_probability(str(name))):
        table[name] = _numbers(table[name], str(name), file)
    return table, file


def _read_csv(file: Path, column: str) -> "pd.DataFrame":
    import pandas as pd

    try:
        columns = [str(name) for name in pd.read_csv(file, nrows=0).columns]
        wanted = _wanted(columns, column, file)
        kinds: dict[str, Any] = dict.fromkeys((*_CATEGORIES, column), "category") | {"image_id": str}
        empty = {name: [""] for name in _NUMBERS}
        read = {name: kind for name, kind in kinds.items() if name in wanted}
        table = pd.read_csv(file, usecols=wanted, dtype=read, keep_default_na=False, na_values=empty)
    except (ValueError, EOFError, OSError, zlib.error) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file} cannot be read as CSV ({' '.join(str(error).split())})") from error
    for name in _NUMBERS:
        if name in table:
            table[name] = _numbers(table[name], name, file)
    return table


def _read_npz(file: Path, column: str) -> "pd.DataFrame":
    import pandas as pd

    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise InputError(f"{file} cannot be read as NPZ ({' '.join(str(error).split())})") from error
    probabilities = arrays.pop("probabilities", None)
    if probabilities is not None and probabilities.ndim == 2:
        arrays |= {f"p{place}": values for place, values in enumerate(probabilities.T)}
    lengths = {array.shape for array in arrays.values()}
    if len(lengths) != 1 or len(next(iter(lengths))) != 1:
        raise InputError(f"{file} must hold columns of equal length; its shapes are {sorted(lengths)}")
    table = pd.DataFrame({name: arrays[name] for name in _wanted(list(arrays), column, file)})
    words = [name for name in table if name in (*_CATEGORIES, column)]
    return table.astype(dict.fromkeys(words, str)).astype(dict.fromkeys(words, "category"))


def _wanted(columns: Sequence[str], column: str, file: Path) -> list[str]:
    if column not in columns:
        raise InputError(
            f"{file} has no column {column!r} that says of which group an image is; it has "
            f"{', '.join(columns)}; name one of these"
        )
    if is_results_table(columns) and (missing := [name for name in _RESULTS_NEED if name not in columns]):
        raise InputError(f"{file} looks like a results table but has no column {', '.join(missing)}")
    if column == "image_id" or column in _NUMBERS or _is_probability(column):
        raise InputError(
            f"column {column!r} of {file} names or measures single images: these are no groups; name another "
            "column"
        )
    known = {column, "image_id", *_CATEGORIES, *(_NUMBERS if is_results_table(columns) else ())}
    return [name for name in columns if name in known or _is_probability(name)]


def _is_probability(name: str) -> bool:
    return re.fullmatch(r"p\d+", name) is not None


def _numbers(values: "pd.Series[Any]", name: str, file: Path) -> "pd.Series[Any]":
    import pandas as pd

    numbers = pd.to_numeric(values, errors="coerce")
    is_odd = numbers.isna() & values.notna() & (values.astype(str) != "")
    if is_odd.any():
        raise InputError(f"{file}: {name} must be a number. Received: {str(values[is_odd].iloc[0])!r}")
    return numbers.astype(float)


def class_words(table: "pd.DataFrame") -> "pd.DataFrame":
    """Writes the classes in all columns alike: without spaces around them, and 1 for 1.0.

    Args:
        table: With its words as categories.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"label": ["1.0", " 0"], "predicted": ["1", "0"]}, dtype="category")
    >>> class_words(table)["label"].tolist()
    ['1', '0']
    """
    for name in (name for name in CLASS_COLUMNS if name in table):
        words = {word: _class_word(str(word)) for word in table[name].cat.categories}
        if any(word != own for word, own in words.items()):
            table = table.assign(**{name: table[name].map(words).astype("category")})
    return table


def _class_word(word: str) -> str:
    return re.sub(r"^(-?\d+)\.0+$", r"\1", word.strip())


def truths(values: "pd.Series[Any]", name: str, *, file: Path) -> "pd.Series[Any]":
    """Reads a column of truth values.

    Args:
        values: Words, as categories.
        name: Of the column, for the message.
        file: Likewise.

    Raises:
        InputError: If one is neither true nor false (1 nor 0).

    >>> import pandas as pd
    >>> truths(pd.Series(["True", "0"], dtype="category"), "correct", file=Path("a.csv")).tolist()
    [True, False]
    """
    import pandas as pd

    meanings = {}
    for word in values.cat.categories:
        text = str(word).strip().lower()
        if text not in (*TRUE_WORDS, *FALSE_WORDS):
            raise InputError(f"{file}: {name} must be true or false (1 or 0). Received: {str(word)!r}")
        meanings[word] = text in TRUE_WORDS
    by_code = np.array([meanings[word] for word in values.cat.categories], bool)
    return pd.Series(by_code[values.cat.codes.to_numpy()], index=values.index)
