"""A model's graph with few boxes: each network one, and between them what looks, sees and merges.

The boxes are read off the model: every layer is in one box, or is a mere change of shape between two.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np

from bioattack.errors import InputError
from bioattack.evaluation.architecture_words import KINDS, Words, describe_network, describe_step


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


@dataclasses.dataclass(frozen=True)
class _Step:
    """A call of a layer or of another operation, with the places of the calls whose outputs it takes."""

    operation: Any
    outputs: tuple[Any, ...]
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
    steps = _read_steps(model)
    groups = _group(steps)
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


def _read_steps(model: keras.Model) -> list[_Step]:
    """The calls of which a model is made, each after those whose outputs it takes."""
    graph = getattr(model, "_functional", None) or model
    try:
        nodes = {id(node): node for level in graph._nodes_by_depth.values() for node in level}
    except AttributeError as error:
        raise InputError(f"model {model.name} is not functional: it has no graph to draw") from error
    places: dict[int, int] = {}
    steps: list[_Step] = []
    waiting = [_node_of(tensor) for tensor in reversed(graph.outputs)]
    while waiting:
        node = waiting[-1]
        before = [_node_of(tensor) for tensor in node.input_tensors]
        before = [other for other in before if id(other) in nodes]
        missing = [other for other in reversed(before) if id(other) not in places]
        if missing:
            waiting += missing
            continue
        waiting.pop()
        if id(node) not in places:
            places[id(node)] = len(steps)
            parents = tuple(dict.fromkeys(places[id(other)] for other in before))
            steps.append(_Step(node.operation, tuple(node.outputs), parents))
    return steps


def _node_of(tensor: Any) -> Any:
    history = tensor._keras_history
    return history.operation._inbound_nodes[history.node_index]


def _group(steps: Sequence[_Step]) -> dict[int, list[int]]:
    """Puts steps together that make one box, under the place of the first of them; lines are in none."""
    alone = {place for place, step in enumerate(steps) if _stands_alone(steps, place)}
    lines = {place for place, step in enumerate(steps) if place not in alone and _is_line(step)}
    # Of every plain step, all plain ones that lead to it without a box between.
    behind: dict[int, set[int]] = {}
    group_of = {place: place for place in range(len(steps))}
    for place, step in enumerate(steps):
        near = [behind.get(parent, set()) for parent in step.parents]
        if place in lines and near and all(near):
            # A change of shape inside a network is part of it.
            lines.discard(place)
        if place in alone or place in lines:
            continue
        if len(near) > 1 and sum(map(len, near)) == len(set().union(*near)):
            # What comes together here has no plain layer in common: branches end.
            alone.add(place)
            continue
        behind[place] = {place}.union(*near)
        for parent in step.parents:
            if parent in behind:
                _join(group_of, place, parent)
    groups: dict[int, list[int]] = {}
    for place in range(len(steps)):
        if place not in lines:
            groups.setdefault(_first(group_of, place), []).append(place)
    return _with_merging_lines(steps, groups, lines)


def _stands_alone(steps: Sequence[_Step], place: int) -> bool:
    """Whether a step is a box whatever lies around it."""
    operation = steps[place].operation
    if isinstance(operation, keras.Model) or type(operation).__name__ in KINDS:
        return not _is_line(steps[place])
    return isinstance(operation, keras.layers.Dense) and not _leads_to_weights(steps, place)


def _leads_to_weights(steps: Sequence[_Step], place: int) -> bool:
    after = {place}
    for later in range(place + 1, len(steps)):
        if after & set(steps[later].parents):
            after.add(later)
            if getattr(steps[later].operation, "weights", ()):
                return True
    return False


def _is_line(step: _Step) -> bool:
    """Whether a step only hands on what it is given, in another shape or in part."""
    operation = step.operation
    if type(operation).__name__ == "GazeGradient":
        return bool(operation.mode == "full")
    if not isinstance(operation, keras.layers.Layer):
        return True
    return isinstance(operation, keras.layers.Reshape | keras.layers.Flatten | keras.layers.Permute)


def _join(group_of: dict[int, int], place: int, other: int) -> None:
    first, second = sorted((_first(group_of, place), _first(group_of, other)))
    group_of[second] = first


def _first(group_of: dict[int, int], place: int) -> int:
    while group_of[place] != place:
        place = group_of[place]
    return place


def _with_merging_lines(
    steps: Sequence[_Step], groups: dict[int, list[int]], lines: set[int]
) -> dict[int, list[int]]:
    """Makes boxes of lines in which several boxes come together."""
    merging = dict(groups)
    for place in sorted(lines):
        if len(_sources(steps, merging, steps[place].parents)) > 1:
            merging[place] = [place]
    return merging


def _sources(steps: Sequence[_Step], groups: dict[int, list[int]], places: Iterable[int]) -> list[int]:
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


def _parents_of(steps: Sequence[_Step], groups: dict[int, list[int]]) -> dict[int, list[int]]:
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


def _leaving(steps: Sequence[_Step], members: Sequence[int]) -> list[Any]:
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
