"""A model's graph with few boxes: each network one, and between them what looks, sees and merges.

The boxes are read off the model: every layer is in one box, or is a mere change of shape between two.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np

from bioattack.errors import InputError
from bioattack.evaluation.architecture_steps import Step, group_steps, read_steps
from bioattack.evaluation.architecture_words import Words, describe_network, describe_step


@dataclasses.dataclass(frozen=True)
class Box:
    """Some layers of a model, drawn as one.

    Args:
        words: Title, kind and details.
        layers: Names of the layers that it stands for.
        shapes: Of its outputs, the batch left out; as many of them per image as the first number says:
            ``(5, (64, 64, 3))``.
        num_parameters: Weights in it, those left out that a box before it has, too.
        parents: Places of the boxes whose outputs it takes, in the list of boxes.
    """

    words: Words
    layers: tuple[str, ...]
    shapes: tuple[tuple[int, tuple[int, ...]], ...]
    num_parameters: int
    parents: tuple[int, ...]


def architecture_boxes(model: keras.Model) -> list[Box]:
    """Reads the boxes of a model off its graph.

    Runs of plain layers, such as the convolutions of a backbone, become one box; so does a model within the
    model. Layers that look, see or average, layers that merge branches, and the last dense layer have boxes
    of their own.

    Args:
        model: A functional or sequential model with one input.

    Returns:
        The boxes, each after its parents. Their parameters sum up to those of the model.

    Raises:
        InputError: If the model has no graph that can be read.
    """
    steps = read_steps(model)
    groups = _with_merging_lines(steps, *group_steps(steps))
    parents = _parents_of(steps, groups)
    groups, parents = _without_circles(groups, parents)
    order = _in_order(groups, parents)
    leaving = [_leaving(steps, groups[group]) for group in order]
    counts = _count_outputs(model, [tensor for tensors in leaving for tensor in tensors])
    seen: set[int] = set()
    boxes = []
    for group, tensors in zip(order, leaving, strict=True):
        operations = [steps[place].operation for place in groups[group]]
        boxes.append(
            Box(
                words=describe_step(*operations) if len(operations) == 1 else describe_network(operations),
                layers=tuple(dict.fromkeys(operation.name for operation in operations)),
                shapes=tuple((counts[id(tensor)], tuple(tensor.shape[1:])) for tensor in tensors),
                num_parameters=_count_new_parameters(operations, seen),
                parents=tuple(order.index(parent) for parent in parents[group]),
            )
        )
    return boxes


def with_siblings_joined(boxes: Sequence[Box], *, most: int) -> list[Box]:
    """Joins boxes that are alike and lie between the same others, where there are more than ``most`` of them.

    Args:
        boxes: As ``architecture_boxes`` gives them.
        most: How many stay apart.

    Returns:
        Boxes, each after its parents; the parameters of those that were joined are summed up.
    """
    children = [
        tuple(child for child, box in enumerate(boxes) if place in box.parents) for place in range(len(boxes))
    ]
    alike: dict[object, list[int]] = {}
    for place, box in enumerate(boxes):
        look = (
            box.parents,
            children[place],
            box.shapes,
            box.num_parameters,
            box.words.kind,
            box.words.details,
        )
        alike.setdefault(look, []).append(place)
    into = {
        place: min(places) if len(places) > most else place for places in alike.values() for place in places
    }
    kept = sorted(set(into.values()))
    found = []
    for place in kept:
        members = [boxes[other] for other, first in into.items() if first == place]
        parents = dict.fromkeys(kept.index(into[parent]) for parent in boxes[place].parents)
        found.append(dataclasses.replace(_as_one(members), parents=tuple(parents)))
    return found


def _as_one(boxes: Sequence[Box]) -> Box:
    first, last = boxes[0], boxes[-1]
    if len(boxes) == 1:
        return first
    words = dataclasses.replace(
        first.words,
        title=f"{first.words.title} … {last.words.title.rpartition(' ')[2]}",
        details=(f"{len(boxes)} alike, each:", *first.words.details),
    )
    layers = tuple(name for box in boxes for name in box.layers)
    return dataclasses.replace(
        first, words=words, layers=layers, num_parameters=sum(box.num_parameters for box in boxes)
    )


def _with_merging_lines(
    steps: Sequence[Step], groups: dict[int, list[int]], lines: set[int]
) -> dict[int, list[int]]:
    """Makes boxes of lines in which several boxes come together."""
    merging = dict(groups)
    for place in sorted(lines):
        if len(_sources(steps, merging, steps[place].parents)) > 1:
            merging[place] = [place]
    return merging


def _sources(steps: Sequence[Step], groups: dict[int, list[int]], places: Iterable[int]) -> list[int]:
    """The groups from which some steps come, whatever lines lie between."""
    group_of = {place: group for group, members in groups.items() for place in members}
    found: dict[int, None] = {}
    waiting = list(places)[::-1]
    while waiting:
        place = waiting.pop()
        if place in group_of:
            found[group_of[place]] = None
        else:
            waiting += steps[place].parents[::-1]
    return list(found)


def _parents_of(steps: Sequence[Step], groups: dict[int, list[int]]) -> dict[int, list[int]]:
    return {
        group: [
            source
            for source in _sources(
                steps, groups, (parent for place in members for parent in steps[place].parents)
            )
            if source != group
        ]
        for group, members in groups.items()
    }


def _without_circles(
    groups: dict[int, list[int]], parents: dict[int, list[int]]
) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """Puts groups together that lead to one another, as a gate within a network does."""
    before = {group: _all_before(group, parents) for group in groups}
    into = {
        group: min(other for other in groups if other == group or _both(before, group, other))
        for group in groups
    }
    joined: dict[int, list[int]] = {}
    for group, members in groups.items():
        joined.setdefault(into[group], []).extend(members)
    found = {
        group: list(
            dict.fromkeys(into[p] for g in groups if into[g] == group for p in parents[g] if into[p] != group)
        )
        for group in joined
    }
    return {group: sorted(members) for group, members in joined.items()}, found


def _both(before: dict[int, set[int]], first: int, second: int) -> bool:
    return first in before[second] and second in before[first]


def _all_before(group: int, parents: dict[int, list[int]]) -> set[int]:
    found: set[int] = set()
    waiting = list(parents[group])
    while waiting:
        other = waiting.pop()
        if other not in found:
            found.add(other)
            waiting += parents[other]
    return found


def _in_order(groups: dict[int, list[int]], parents: dict[int, list[int]]) -> list[int]:
    """The groups, each after its parents, otherwise in the order of their first steps."""
    order: list[int] = []
    rest = sorted(groups)
    while rest:
        group = next(group for group in rest if all(parent in order for parent in parents[group]))
        order.append(group)
        rest.remove(group)
    return order


def _leaving(steps: Sequence[Step], members: Sequence[int]) -> list[Any]:
    """What a group gives to others: the outputs of its steps that no other step of it takes."""
    taken = {parent for place in members for parent in steps[place].parents}
    return [tensor for place in members if place not in taken for tensor in steps[place].outputs]


def _count_outputs(model: keras.Model, tensors: Sequence[Any]) -> dict[int, int]:
    """Says how many of each tensor there are for an image, by the tensor's id; found with a black one."""
    shape = model.inputs[0].shape[1:]
    if len(model.inputs) != 1 or None in shape:
        raise InputError(f"model {model.name} has no single input of a fixed size")
    part = keras.Model(model.inputs[0], {str(place): tensor for place, tensor in enumerate(tensors)})
    found = part(np.zeros((1, *shape), "float32"), training=False)
    return {id(tensor): int(found[str(place)].shape[0]) for place, tensor in enumerate(tensors)}


def _count_new_parameters(operations: Iterable[Any], seen: set[int]) -> int:
    number = 0
    for operation in operations:
        for weight in getattr(operation, "weights", ()):
            if id(weight) not in seen:
                seen.add(id(weight))
                number += int(np.prod(weight.shape))
    return number
