"""What the columns of a set of rows mean: attributes, their ranges, and the categories behind the codes."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

AttributeKind = Literal["continuous", "categorical"]


@dataclasses.dataclass(frozen=True)
class Attribute:
    """One column.

    Args:
        name: As the source calls it.
        kind: ``"continuous"``, or ``"categorical"``: the values are codes, places in ``categories``.
        minimum: Least value of all rows of the source; 0 for categories.
        maximum: Largest value of all rows of the source; that of the last code for categories.
        mean: Of the source's training rows.
        std: Standard deviation of the source's training rows, divided by their number.
        is_integer: Whether only whole numbers are valid.
        is_protected: Whether it is one of those that fairness is asked about.
        categories: Names in the order of their codes; empty for a continuous attribute.
    """

    name: str
    kind: AttributeKind
    minimum: float
    maximum: float
    mean: float
    std: float
    is_integer: bool = True
    is_protected: bool = False
    categories: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Table:
    """The columns of a set of rows.

    Args:
        attributes: In the order of the features.

    >>> age = Attribute("age", "continuous", 17.0, 90.0, 38.4, 13.1)
    >>> sex = Attribute("sex", "categorical", 0.0, 1.0, 0.7, 0.5, categories=("Female", "Male"))
    >>> Table((age, sex)).in_words([39.0, 1.0])
    {'age': 39.0, 'sex': 'Male'}
    """

    attributes: tuple[Attribute, ...]

    @property
    def num_features(self) -> int:
        """How many attributes there are."""
        return len(self.attributes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the attributes, in the order of the features."""
        return tuple(attribute.name for attribute in self.attributes)

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each attribute over the training rows."""
        return tuple(attribute.mean for attribute in self.attributes)

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each attribute over the training rows."""
        return tuple(attribute.std for attribute in self.attributes)

    def in_words(self, features: Sequence[float]) -> dict[str, float | str]:
        """Writes one row with the names of its categories.

        Args:
            features: One value for each attribute; the codes of categories are whole numbers.
        """
        return {
            attribute.name: attribute.categories[int(value)] if attribute.categories else float(value)
            for attribute, value in zip(self.attributes, features, strict=True)
        }


def table_from_json(content: dict[str, Any]) -> Table:
    """Makes a table of what ``asdict`` and JSON made of one; KeyError or TypeError if it is none."""
    return Table(
        tuple(
            Attribute(**attribute | {"categories": tuple(attribute["categories"])})
            for attribute in content["attributes"]
        )
    )
