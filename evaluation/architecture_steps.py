"""The calls of layers that a model's graph is made of, and which of them belong together."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from bioattack.errors import InputError
from bioattack.evaluation.architecture_words import KINDS


@dataclasses.dataclass(frozen=True)
class Step:
    """A call of a layer or of another operation, with the places of the calls whose outputs it takes."""

    operation: Any
    outputs: tuple[Any, ...]
    parents: tuple[int, ...]


def read_steps(model: keras.Model) -> list[Step]:
    """Reads the calls of which a model is made.

    Args:
        model: A functional or sequential model.

    Returns:
        The calls, each after those whose outputs it takes.

    Raises:
        InputError: If the model has no graph.
    """
    graph = getattr(model, "_functional", None) or model
    try:
        nodes = {id(node): node for level in graph._nodes_by_depth.values() for node in level}
    except AttributeError as error:
        raise InputError(f"model {model.name} is not functional: it has no graph to draw") from error
    places: dict[int, int] = {}
    steps: list[Step] = []
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
            steps.append(Step(node.operation, tuple(node.outputs), parents))
    return steps


def _node_of(tensor: Any) -> Any:
    history = tensor._keras_history
    return history.operation._inbound_nodes[history.node_index]


def group_steps(steps: Sequence[Step]) -> tuple[dict[int, list[int]], set[int]]:
    """Puts the steps of a network together.

    Args:
        steps: As ``read_steps`` gives them.

    Returns:
        The groups, places of steps under that of the first; and the steps that are in none, because they only
        hand on what they are given.
    """
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
    return groups, lines


def _stands_alone(steps: Sequence[Step], place: int) -> bool:
    """Whether a step is a box whatever lies around it."""
    operation = steps[place].operation
    if isinstance(operation, keras.Model) or type(operation).__name__ in KINDS:
        return not _is_line(steps[place])
    return isinstance(operation, keras.layers.Dense) and not _leads_to_weights(steps, place)


def _leads_to_weights(steps: Sequence[Step], place: int) -> bool:
    after = {place}
    for later in range(place + 1, len(steps)):
        if after & set(steps[later].parents):
            after.add(later)
            if getattr(steps[later].operation, "weights", ()):
                return True
    return False


def _is_line(step: Step) -> bool:
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
