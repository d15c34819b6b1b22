"""What an experiment is: networks to be trained, what was published of them, and what is made of them."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bioattack.evaluation.reproduce.config import Scale

if TYPE_CHECKING:
    from bioattack.evaluation.reproduce.page import Section
    from bioattack.evaluation.reproduce.workplace import Workplace


@dataclasses.dataclass(frozen=True)
class Variant:
    """A network to be trained; experiments that name the same one share its runs.

    Args:
        label: Its name in folders, in tables and after ``--models``; one label, one set of options.
        model: Name in the registry of models.
        options: Of the network.
        small_options: In addition where the networks are small.
    """

    label: str
    model: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    small_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def options_at(self, scale: Scale) -> dict[str, Any]:
        """Returns the options that replace those of the network's own preset."""
        return {**self.options, **(self.small_options if scale.model_preset == "small" else {})}


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of a table.

    Args:
        variant: The network.
        title: What the paper calls it.
        published: Accuracies in percent by epsilon, 0 standing for the pictures as they are; as printed.
    """

    variant: Variant
    title: str
    published: Mapping[float, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A table or figure to be made.

    Args:
        name: Of its files and its entry in ``summary.json``.
        title: Heading of its section.
        text: What it shows and what to know about it, a paragraph each.
        finish: Makes the section once every network is trained and measured.
        rows: The networks that it needs; of none it needs no training.
        pairs: Labels of two networks that are to be compared, besides each with the first one.
        needs_records: Whether it needs pictures at all.
    """

    name: str
    title: str
    text: tuple[str, ...]
    finish: Callable[["Workplace", "Experiment"], "Section"]
    rows: tuple[Row, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    needs_records: bool = True
