"""An attack as a handful of compiled functions that are traced once, whatever the size of the batch."""

import functools
from collections.abc import Callable
from typing import Any, cast

import tensorflow as tf

from bioattack.attacks.attack import AttackedModel, Slots, State, StreamedAttack


class CompiledAttack:
    """Start, look and advance of an attack, and the filling and emptying of its slots.

    Every function takes any number of slots: their shapes are open in the first axis, so that nothing is
    traced again when the batch is filled up or shrinks.

    Args:
        model: The model.
        attack: The attack.
        example: Slots as they will come, from which shapes are taken.
    """

    def __init__(self, model: AttackedModel, attack: StreamedAttack, example: Slots) -> None:
        slots = Slots(*(_open(value) for value in example))
        self._model, self._attack, self._slots = model, attack, slots
        places = tf.TensorSpec((None,), tf.int32)
        self.start = _compile(lambda slots: attack.start(model, slots), slots)
        state = {name: _open(value) for name, value in self.start.structured_outputs.items()}
        self.look = _compile(
            lambda slots, state: _reported(attack.look(model, slots, dict(state))), slots, state
        )
        self.advance = _compile(
            lambda slots, state: _reported(attack.advance(model, slots, dict(state))), slots, state
        )
        self.put = _compile(_put, slots, state, slots, state, places)
        self.put_behind = _compile(_put_behind, slots, state, slots, state, places)
        self.take = _compile(_take, slots, state, places)

    @functools.cached_property
    def open(self) -> Any:
        """What the attack opens with, traced only where it is asked for."""
        return _compile(lambda slots: self._attack.open(self._model, slots), self._slots)

    @functools.cached_property
    def start_opened(self) -> Any:
        """The start with what ``open`` gave."""
        opened = (_open(value) for value in self.open.structured_outputs)
        return _compile(self._attack.start_opened, self._slots, *opened)

    @functools.cached_property
    def logits(self) -> Any:
        """The model's logits of any number of images, traced only where they are asked for."""
        return _compile(self._model.logits, self._slots.originals)


def compile_attack(model: AttackedModel, attack: StreamedAttack, example: Slots) -> CompiledAttack:
    """Gives the compiled attack, traced at its first use and kept with the classifier for the next."""
    key = (attack.key, model.num_draws, example.originals.shape[1:])
    kept = model.classifier.compiled_attacks
    if key not in kept:
        kept[key] = CompiledAttack(model, attack, example)
    return cast(CompiledAttack, kept[key])


def _compile(function: Callable[..., Any], *signature: Any) -> Any:
    # Without AutoGraph errors keep their one sentence.
    return tf.function(function, autograph=False).get_concrete_function(*signature)


def _open(value: Any) -> tf.TensorSpec:
    return tf.TensorSpec((None, *value.shape[1:]), value.dtype)


def _reported(state: State) -> tuple[State, tf.Tensor]:
    """Adds what the engine reads after each pass, as one small tensor: over, fooled, broken, steps."""
    is_broken = ~tf.reduce_all(tf.math.is_finite(state["logits"]), axis=1)
    facts = (state["is_over"], state["is_fooled"], is_broken, state["num_steps"])
    return state, tf.stack([tf.cast(fact, tf.int32) for fact in facts])


def _put(
    slots: Slots, state: State, new_slots: Slots, new_state: State, places: tf.Tensor
) -> tuple[Slots, State]:
    """Puts new rows into some slots."""
    where = places[:, None]

    def put(old: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
        return tf.tensor_scatter_nd_update(old, where, new)

    return (
        Slots(*(put(old, new) for old, new in zip(slots, new_slots, strict=True))),
        {name: put(old, new_state[name]) for name, old in state.items()},
    )


def _put_behind(
    slots: Slots, state: State, new_slots: Slots, new_state: State, places: tf.Tensor
) -> tuple[Slots, State]:
    """Puts new rows into some slots, the last of them behind those that there are."""
    num_more = tf.reduce_max(places) + 1 - tf.shape(slots.labels)[0]

    def widened(old: tf.Tensor) -> tf.Tensor:
        room = tf.zeros(tf.concat([num_more[None], tf.shape(old)[1:]], 0), old.dtype)
        return tf.concat([old, room], 0)

    wider = Slots(*(widened(value) for value in slots)), {name: widened(old) for name, old in state.items()}
    return _put(*wider, new_slots, new_state, places)


def _take(slots: Slots, state: State, places: tf.Tensor) -> tuple[Slots, State]:
    """Keeps some slots only."""
    return (
        Slots(*(tf.gather(value, places) for value in slots)),
        {name: tf.gather(value, places) for name, value in state.items()},
    )
