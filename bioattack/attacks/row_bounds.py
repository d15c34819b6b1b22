"""What an attack may do to rows of a table: which attributes move, where to, and in whole numbers or not."""

import dataclasses

from bioattack.errors import InputError
from bioattack.tfrecords_builder.table import Table

#: What is moved: what leaves a row a valid one, or everything as if it were a real number.
PERTURBED = ("valid", "all")

# Beyond this float32 no longer tells one whole number from the next.
_LARGEST_WHOLE = 2.0**24


@dataclasses.dataclass(frozen=True)
class RowBounds:
    """The changes that are allowed to a row, beside those that the ball's radius allows.

    One entry for each attribute, in the order of the features. A value that lies outside its range before the
    attack may stay there, and go no further out.

    Args:
        names: Of the attributes.
        lowest: Least value that an attribute may be moved to.
        highest: Largest value that an attribute may be moved to.
        is_moved: Whether it is moved at all.
        is_whole: Whether it must be a whole number, before and after.

    Raises:
        InputError: If the lists differ in length, a range is empty, or nothing may be moved.
    """

    names: tuple[str, ...]
    lowest: tuple[float, ...]
    highest: tuple[float, ...]
    is_moved: tuple[bool, ...]
    is_whole: tuple[bool, ...]

    def __post_init__(self) -> None:
        """Checks the lists."""
        lists = (self.names, self.lowest, self.highest, self.is_moved, self.is_whole)
        if len({len(one) for one in lists}) != 1:
            raise InputError(
                "names, lowest, highest, is_moved and is_whole must be equally long. "
                f"Received: {', '.join(str(len(one)) for one in lists)} entries"
            )
        for name, low, high, is_whole in zip(
            self.names, self.lowest, self.highest, self.is_whole, strict=True
        ):
            if not low <= high:
                raise InputError(f"{name} must have lowest <= highest. Received: {low:g} and {high:g}")
            if is_whole and max(abs(low), abs(high)) > _LARGEST_WHOLE:
                raise InputError(
                    f"{name} goes beyond {_LARGEST_WHOLE:.0f}, where float32 has no more whole numbers; "
                    "count it in larger units"
                )
        if not any(self.is_moved):
            raise InputError(
                "an attack that keeps the rows valid has nothing to move: all attributes are categories; "
                'give perturb "all" (--perturb all) to move their codes'
            )

    @property
    def num_features(self) -> int:
        """How many attributes there are."""
        return len(self.names)

    @property
    def moved_names(self) -> tuple[str, ...]:
        """The attributes that are moved."""
        return tuple(name for name, is_moved in zip(self.names, self.is_moved, strict=True) if is_moved)

    @property
    def has_whole(self) -> bool:
        """Whether anything that moves must be rounded."""
        return any(moved and whole for moved, whole in zip(self.is_moved, self.is_whole, strict=True))


def row_bounds(table: Table, *, perturb: str = "valid") -> RowBounds:
    """Reads off a table what an attack may do to its rows.

    Ranges are those that the manifest of the records states for each attribute: of all rows of the source.

    Args:
        table: The attributes (``Records.table``).
        perturb: ``"valid"``: continuous attributes move within their ranges, those that count something in
            whole numbers; categories stay. ``"all"``: every attribute moves within its range as if it were a
            real number, the codes of categories too, and nothing is rounded; such rows describe nobody. It is
            what Sooksatra and Rivas 2022 probably did, who name no attribute that stays.

    Raises:
        InputError: If ``perturb`` is neither, or nothing could be moved.

    >>> from bioattack.tfrecords_builder.table import Attribute
    >>> age = Attribute("age", "continuous", 17.0, 90.0, 38.4, 13.1)
    >>> sex = Attribute("sex", "categorical", 0.0, 1.0, 0.7, 0.5, categories=("Female", "Male"))
    >>> row_bounds(Table((age, sex))).moved_names
    ('age',)
    """
    if perturb not in PERTURBED:
        raise InputError(f"perturb must be one of {', '.join(PERTURBED)}. Received: perturb={perturb!r}")
    is_all = perturb == "all"
    return RowBounds(
        names=table.names,
        lowest=tuple(attribute.minimum for attribute in table.attributes),
        highest=tuple(attribute.maximum for attribute in table.attributes),
        is_moved=tuple(is_all or attribute.kind == "continuous" for attribute in table.attributes),
        is_whole=tuple(not is_all and attribute.is_integer for attribute in table.attributes),
    )
