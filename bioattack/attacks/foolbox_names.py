"""Foolbox's attack classes by name, with options as a command line gives them; it is imported when asked."""

import difflib
import functools
import inspect
import math
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from bioattack.errors import InputError

_NORMS = {0: "l0", 1: "l1", 2: "l2", math.inf: "linf"}
_DEFAULT_NORM = "l2"
_DOCUMENTATION = "https://foolbox.readthedocs.io/en/stable/modules/attacks.html"
_MOST_NAMED = 4
_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}

# TensorBoard files of single attacks are no part of what is reported here.
_HIDDEN_OPTIONS = frozenset({"self", "tensorboard"})

_NOT_OFFERED = {
    "SpatialAttack": "turns and shifts pictures, which no norm measures, and Foolbox has it for PyTorch only",
    "PointwiseAttack": "mixes lists and arrays in a way that Foolbox supports for PyTorch only",
}


def foolbox_attack_names() -> dict[str, str]:
    """Lists every attack class of the installed Foolbox that can be run here.

    Returns:
        Name to norm: ``"l0"``, ``"l1"``, ``"l2"`` or ``"linf"``. Attacks whose norm is the option
        ``distance`` stand under ``"l2"``, its default here.
    """
    return {
        name: _class_norm(attack) for name, attack in sorted(_classes().items()) if name == attack.__name__
    }


def foolbox_norm(class_name: str, options: Mapping[str, Any]) -> str:
    """Returns the norm in which an attack is measured, given its options.

    Raises:
        InputError: As ``build_foolbox_attack``.
    """
    return attack_norm(build_foolbox_attack(class_name, options))


def attack_norm(attack: Any) -> str:
    """Returns the norm in which an attack of Foolbox, or a class of them, measures."""
    return _NORMS[float(attack.distance.p)]


def searches_nearest(class_name: str) -> bool:
    """Tells whether a class searches for the nearest fooling picture, instead of within a given epsilon."""
    return issubclass(_find_class(class_name), _foolbox().MinimizationAttack)


def foolbox_options(class_name: str) -> dict[str, Any]:
    """Lists the options of an attack with their defaults; ``inspect.Parameter.empty`` where there is none.

    Raises:
        InputError: If there is no such attack.
    """
    parameters = _parameters(_find_class(class_name))
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    return defaults | ({"distance": _DEFAULT_NORM} if "distance" in defaults else {})


def build_foolbox_attack(class_name: str, options: Mapping[str, Any]) -> Any:
    """Makes an attack of Foolbox by the name of its class.

    Args:
        class_name: Such as ``"L2CarliniWagnerAttack"``; Foolbox's short names (``"PGD"``) are understood.
        options: Arguments of the class' constructor, as values or as the text that stands for them:
            ``"steps": "100"``, ``"random_start": "true"``, ``"distance": "linf"``, ``"init_attack":
            "LinearSearchBlendedUniformNoiseAttack"``, ``"candidates": "none"``.

    Returns:
        The attack.

    Raises:
        InputError: If there is no such attack or option, a value is of the wrong type or out of range, an
            option without a default is missing, or the attack needs a package that is not installed.
    """
    attack = _find_class(class_name)
    parameters, hints = _parameters(attack), get_type_hints(attack.__init__)
    for name in options:
        if name not in parameters:
            allowed = f"they are {', '.join(parameters)}" if parameters else "it takes none"
            raise InputError(f"Foolbox's {class_name} has no option {name}; {allowed}")
    for name, parameter in parameters.items():
        if parameter.default is inspect.Parameter.empty and name not in options:
            raise InputError(f"Foolbox's {class_name} needs the option {name}: give {name}=VALUE")
    arguments = {
        name: _value(text, hints.get(name, Any), label=f"option {name} of Foolbox's {class_name}")
        for name, text in options.items()
    }
    if "distance" in parameters and arguments.get("distance") is None:
        arguments["distance"] = _distance(_DEFAULT_NORM)
    try:
        return attack(**arguments)
    except ImportError as error:
        package = error.name or "a package that is not installed"
        raise InputError(
            f"Foolbox's {class_name} needs {package}, which is not installed: pip install {package}"
        ) from error
    except Exception as error:  # whatever a constructor raises at values out of range
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"Foolbox's {class_name} refuses its options ({reason})") from error


def _foolbox() -> Any:
    from bioattack.attacks import foolbox_bridge

    return foolbox_bridge


@functools.cache
def _classes() -> dict[str, Any]:
    """Every concrete attack class that Foolbox exports and that has a norm, by every name it has there."""
    bridge = _foolbox()
    return {
        name: attack
        for name, attack in vars(bridge.foolbox_attacks).items()
        if inspect.isclass(attack)
        and issubclass(attack, bridge.AttackWithDistance)
        and not inspect.isabstract(attack)
        and attack.__name__ not in _NOT_OFFERED
    }


def _find_class(class_name: str) -> Any:
    classes = _classes()
    if class_name in classes:
        return classes[class_name]
    if class_name in _NOT_OFFERED:
        raise InputError(f"Foolbox's {class_name} is not offered: it {_NOT_OFFERED[class_name]}")
    by_lower = {name.lower(): name for name in classes}
    wanted = class_name.lower()
    close = difflib.get_close_matches(wanted, by_lower, n=4, cutoff=0.6)
    close += [name for name in by_lower if wanted and wanted in name and name not in close]
    hint = f"did you mean {', '.join(by_lower[name] for name in close[:4])}?" if close else _first_names()
    raise InputError(f"Foolbox has no attack {class_name or 'without a name'}; {hint}")


def _first_names() -> str:
    names = sorted(foolbox_attack_names())
    shown = ", ".join(names[:_MOST_NAMED])
    return f"there are {shown} and {len(names) - _MOST_NAMED} more ({_DOCUMENTATION} lists them)"


def _parameters(attack: Any) -> dict[str, inspect.Parameter]:
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {
        name: parameter
        for name, parameter in inspect.signature(attack.__init__).parameters.items()
        if name not in _HIDDEN_OPTIONS and parameter.kind in named
    }


def _class_norm(attack: Any) -> str:
    if issubclass(attack, _foolbox().FlexibleDistanceMinimizationAttack):
        return _DEFAULT_NORM
    # HopSkipJump's class says L1; its instances follow their constraint.
    is_declared = isinstance(attack.distance, _foolbox().LpDistance) and "constraint" not in _parameters(
        attack
    )
    return attack_norm(attack if is_declared else attack())


def _distance(norm: str) -> Any:
    return getattr(_foolbox().foolbox_distances, norm)


def _value(text: Any, kind: Any, *, label: str) -> Any:
    """Reads a value of the kind that a constructor declares; values that are none of it are refused."""
    kinds = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    for one in kinds:
        try:
            return _value_of_one_kind(text, one)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
    raise InputError(f"{label} must be {' or '.join(map(_kind_name, kinds))}. Received: {text!r}")


def _value_of_one_kind(text: Any, kind: Any) -> Any:
    """Reads a value of one kind; raises ValueError, TypeError or KeyError where it is none."""
    if kind is Any or (inspect.isclass(kind) and kind not in (int, float) and isinstance(text, kind)):
        return text
    if kind in (int, float):
        return _number(text, kind)
    if get_origin(kind) is Literal:
        return {choice: choice for choice in get_args(kind)}[text]
    if get_origin(kind) is tuple:
        parts = text.split(",") if isinstance(text, str) else list(text)
        return tuple(_value_of_one_kind(part, one) for part, one in zip(parts, get_args(kind), strict=True))
    if kind is type(None):
        return {"none": None}[text.lower()]
    if kind is bool:
        return _TRUTH[text.lower()]
    if kind is _foolbox().Distance:
        return _distance({norm: norm for norm in _NORMS.values()}[text])
    attack = build_foolbox_attack(text, {})
    if not isinstance(attack, kind):
        raise TypeError
    return attack


def _number(text: Any, kind: type[int] | type[float]) -> float:
    if isinstance(text, bool) or (kind is int and isinstance(text, float)):
        raise TypeError
    number = kind(text)
    if not math.isfinite(number):
        raise ValueError
    return number


def _kind_name(kind: Any) -> str:
    if kind is type(None):
        return "none"
    if get_origin(kind) is Literal:
        return ", ".join(map(str, get_args(kind)))
    if get_origin(kind) is tuple:
        return f"{len(get_args(kind))} numbers with a comma between them"
    names = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        _foolbox().Distance: f"one of {', '.join(_NORMS.values())}",
        _foolbox().MinimizationAttack: "the name of an attack that searches for the nearest fooling picture",
    }
    return names.get(kind, str(kind))
