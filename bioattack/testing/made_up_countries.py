"""Tables of countries whose accuracy depends on income by as much as is asked for."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

# In alpha-3 codes, alpha-2 codes and English names, as tables come.
PLACES = (
    "Burundi",
    "MWI",
    "NE",
    "Kenya",
    "India",
    "GH",
    "BOL",
    "Peru",
    "CN",
    "Poland",
    "ESP",
    "FR",
    "Norway",
    "US",
)


def write_country_table(
    path: Path,
    *,
    slope: float = 0.0,
    models: Sequence[str] = (),
    num_images: int = 60,
    places: Sequence[str] = PLACES,
    seed: int = 0,
) -> Path:
    """Writes a CSV of ``country,accuracy,n``, from the poorest country to the richest.

    Args:
        path: The file.
        slope: Rise of the expected accuracy from one country to the next, from 0.7 in the middle.
        models: With a column of these models; by default there is no such column.
        num_images: About as many in each country.
        places: The countries as they are spelled.
        seed: Of the draws.
    """
    numbers = num_images + np.arange(len(places)) * 7 % 23
    rows = ["model,country,accuracy,n" if models else "country,accuracy,n"]
    for place, model in enumerate(models or ("",)):
        generator = np.random.default_rng([seed, place])
        expected = np.clip(0.7 + slope * (np.arange(len(places)) - len(places) / 2), 0, 1)
        accuracy = generator.binomial(numbers, expected) / numbers
        front = f"{model}," if models else ""
        rows += [
            f"{front}{country},{share!r},{number}"
            for country, share, number in zip(places, accuracy.tolist(), numbers.tolist(), strict=True)
        ]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path
