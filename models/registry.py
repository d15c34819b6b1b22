"""The networks by name. Reading this table imports neither Keras nor a backend."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

PRESET_NAMES = ("small", "paper")

MODELS: dict[str, str] = {}


def register_model(name: str, target: str) -> None:
    """Adds a network to the table.

    The module of the target holds a function ``builder(image_shape, num_classes, *, seed=None, **options)``
    that returns a ``keras.Model`` from images in [0, 1] to float32 logits, and a table ``PRESETS`` with the
    builder's options for ``"small"`` and ``"paper"``.

    Args:
        name: What ``--model`` calls it.
        target: ``"module:function"``, imported when the network is first built.

    Raises:
        ValueError: If the name is taken, or the target has another form.
    """
    if name in MODELS:
        raise ValueError(f"name must not be registered already. Received: name={name!r} for {target!r}")
    if target.count(":") != 1:
        raise ValueError(f"target must look like 'module:function'. Received: target={target!r}")
    MODELS[name] = target


register_model("adult_mlp", "bioattack.models.adult_mlp:adult_mlp")
register_model("blur", "bioattack.models.blur:blur")
register_model("branched", "bioattack.models.branched:branched")
register_model("coarse", "bioattack.models.coarse:coarse")
register_model("cortical", "bioattack.models.cortical:cortical")
register_model("mobilenet_v2", "bioattack.models.mobilenet_v2:mobilenet_v2")
register_model("multi_gaze", "bioattack.models.multi_gaze:multi_gaze")
register_model("r_blur", "bioattack.models.r_blur:r_blur")
register_model("resnet18", "bioattack.models.resnet18:resnet18")
register_model("resnet20", "bioattack.models.resnet20:resnet20")
register_model("retinal", "bioattack.models.retinal:retinal")
register_model("small_cnn", "bioattack.models.small_cnn:small_cnn")
register_model("squeezenet", "bioattack.models.squeezenet:squeezenet")
register_model("stn", "bioattack.models.stn:stn")


def model_names() -> tuple[str, ...]:
    """Returns the names of all networks, in the order of the table.

    >>> "resnet18" in model_names()
    True
    """
    return tuple(MODELS)


def model_options(name: str) -> dict[str, Any]:
    """Returns the options that a network understands, with their defaults.

    Args:
        name: One of ``model_names()``.

    Raises:
        ValueError: If there is no such network.

    >>> model_options("resnet18")["width"]
    64
    """
    builder, _ = _load(name)
    parameters = inspect.signature(builder).parameters
    return {
        option: parameter.default
        for option, parameter in parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and option != "seed"
    }


def build_model(
    name: str,
    *,
    image_shape: tuple[int, ...],
    num_classes: int,
    preset: str = "small",
    options: Mapping[str, Any] | None = None,
    seed: int | None = None,
) -> "keras.Model":
    """Builds a network by name.

    Args:
        name: One of ``model_names()``.
        image_shape: ``(height, width, channels)`` of the images; ``(features,)`` for a network that takes
            rows of a table.
        num_classes: Number of logits, 2 or more.
        preset: ``"small"`` learns in minutes on two cores, ``"paper"`` is the published network.
        options: Options of the builder that replace those of the preset.
        seed: Initial weights and the draws of random layers are a function of it; ``None`` takes them from
            the global state that ``keras.utils.set_random_seed`` sets.

    Returns:
        A functional model from float32 images ``(batch, height, width, channels)`` in [0, 1] to float32
        logits ``(batch, num_classes)``.

    Raises:
        ValueError: If the name, the preset, an option or a value is not one that fits.

    >>> build_model("small_cnn", image_shape=(32, 32, 3), num_classes=10).count_params()
    552714
    """
    builder, presets = _load(name)
    if preset not in presets:
        raise ValueError(f"preset must be one of {', '.join(presets)}. Received: preset={preset!r}")
    parameters, allowed = inspect.signature(builder).parameters, model_options(name)
    for option, value in (options or {}).items():
        if option not in allowed:
            raise ValueError(
                f"an option of {name} must be one of {', '.join(allowed)}. Received: option {option!r}"
            )
        kind = parameters[option].annotation
        if kind in (bool, bool | None) and not isinstance(value, kind):
            raise ValueError(f"{option} of {name} must be true or false. Received: {option}={value!r}")
    arguments = {**presets[preset], **(options or {})}
    return builder(tuple(image_shape), num_classes, seed=seed, **arguments)


def _load(name: str) -> tuple[Callable[..., "keras.Model"], Mapping[str, Mapping[str, Any]]]:
    """The builder and the presets of a network."""
    if name not in MODELS:
        raise ValueError(f"model must be one of {', '.join(MODELS)}. Received: model={name!r}")
    module_name, function_name = MODELS[name].split(":")
    module = importlib.import_module(module_name)
    return getattr(module, function_name), module.PRESETS
