"""One picture under several attacks: what each makes of it, the difference on one scale, and the class.

After Figure 4 of Burhanpurkar 2021, which shows pictures, their Carlini-Wagner adversarial pictures and the
differences.
"""

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from bioattack.attacks.lengths import lengths
from bioattack.attacks.request import AttackRequest, FoolboxRequest
from bioattack.classifier import Classifier
from bioattack.errors import InputError
from bioattack.evaluation import figure_style as style

_LEAST_SCALE = 1e-6
_ROW_INCHES = 1.16
# The part of the width that each of the two pictures takes; the words have the rest.
_PICTURE_SHARE = 0.285
# Differences are fine-grained: fewer pixels would blur them.
_MAX_PNG_BYTES = 600_000

# A search far shorter than Foolbox's own 9 times 10,000 steps: a minute, for a picture a little farther away.
_CARLINI_WAGNER = (
    ("steps", "150"),
    ("stepsize", "0.002"),
    ("binary_search_steps", "6"),
    ("initial_const", "0.1"),
)
_ANY_DISTANCE = (float("inf"),)

# Two attacks that search for the nearest picture, two at a fixed size, two that look at classes alone.
FIGURE_ATTACKS: Mapping[str, AttackRequest | FoolboxRequest] = {
    "Carlini-Wagner": FoolboxRequest("L2CarliniWagnerAttack", _CARLINI_WAGNER, "l2", _ANY_DISTANCE),
    "DeepFool": FoolboxRequest("L2DeepFoolAttack", (), "l2", _ANY_DISTANCE),
    "projected gradient": AttackRequest("pgd", "linf", (2 / 255,)),
    "fast gradient sign": FoolboxRequest("LinfFastGradientAttack", (), "linf", (8 / 255,)),
    "salt and pepper": FoolboxRequest("SaltAndPepperNoiseAttack", (("steps", "200"),), "l2", _ANY_DISTANCE),
    "Gaussian blur": FoolboxRequest("GaussianBlurAttack", (("steps", "100"),), "l2", _ANY_DISTANCE),
}


@dataclasses.dataclass(frozen=True)
class ShownPicture:
    """A picture with what a classifier makes of it.

    Args:
        name: Of the attack, or ``"original"``.
        image: ``(height, width, channels)``, float, [0, 1].
        predicted: Name of the predicted class.
        confidence: Its probability, 0 to 1.
        setting: What bounds the attack, such as ``"8/255"``; empty where nothing does.
    """

    name: str
    image: np.ndarray
    predicted: str
    confidence: float
    setting: str = ""


def write_attack_figure(
    original: ShownPicture,
    attacked: Sequence[ShownPicture],
    *,
    path: Path,
    difference_scale: float | None = None,
) -> Path:
    """Draws one picture under several attacks into a PNG file of at most 600 kB.

    Args:
        original: The picture before.
        attacked: The picture after each attack; an attack fooled where another class is predicted.
        path: The file.
        difference_scale: Change of a channel, as a fraction of its range, that is drawn as black or white;
            the same for all attacks. By default the median of the attacks' largest changes. What is larger is
            cut off, and the figure says so.

    Returns:
        ``path``. The same input gives the same bytes.

    Raises:
        InputError: If nothing was attacked, shapes differ, or the scale is not above 0.
        OSError: If the file cannot be written.
    """
    with style.house_style():
        figure = attack_figure(original, attacked, difference_scale=difference_scale)
        return style.save_png(figure, Path(path), max_bytes=_MAX_PNG_BYTES)


def attack_figure(
    original: ShownPicture, attacked: Sequence[ShownPicture], *, difference_scale: float | None = None
) -> Figure:
    """Draws what ``write_attack_figure`` writes; call it inside ``figure_style.house_style``."""
    changes = [_change(original, shown) for shown in attacked]
    if not changes:
        raise InputError("a figure of attacks needs at least one attack")
    largest = [float(np.abs(change).max()) for change in changes]
    scale = max(float(np.median(largest)), _LEAST_SCALE) if difference_scale is None else difference_scale
    if not 0 < scale < np.inf:
        raise InputError(f"difference_scale must be above 0. Received: difference_scale={scale}")
    num_rows = 1 + len(attacked)
    figure = Figure(figsize=(style.WIDTH_INCHES, _ROW_INCHES * num_rows))
    widths = (_PICTURE_SHARE, _PICTURE_SHARE, 1 - 2 * _PICTURE_SHARE)
    grid = np.asarray(figure.subplots(num_rows, 3, squeeze=False, width_ratios=widths))
    figure.subplots_adjust(0.01, 0.04 / num_rows, 0.99, 1 - 0.04 / num_rows, wspace=0.06, hspace=0.05)
    for axes in grid.ravel():
        axes.set_axis_off()
    _draw(grid[0, 0], original.image)
    _draw_scale(grid[0, 1], scale, is_cut_off=max(largest) > scale * (1 + 1e-6))
    _write(grid[0, 2], original.name, [_percent(original)])
    for row, shown, change in zip(grid[1:], attacked, changes, strict=True):
        _draw(row[0], shown.image)
        _draw(row[1], np.clip(0.5 + 0.5 * change / scale, 0, 1))
        size = lengths(change)
        lines = [
            _percent(shown),
            *(["not fooled"] if shown.predicted == original.predicted else []),
            f"L2 {size['l2']:.3g}",
            f"L\N{INFINITY} {size['linf']:.3g} ({255 * size['linf']:.3g}/255)",
        ]
        _write(row[2], f"{shown.name} {shown.setting}".strip(), lines)
    return figure


def attack_picture(
    classifier: Classifier,
    image: Any,
    label: int,
    *,
    attacks: Mapping[str, AttackRequest | FoolboxRequest] = FIGURE_ATTACKS,
    class_names: Sequence[str] | None = None,
    image_id: str = "0",
    seed: int = 0,
) -> tuple[ShownPicture, list[ShownPicture]]:
    """Runs several attacks on one picture.

    Args:
        classifier: The classifier.
        image: ``(height, width, channels)``, float32, [0, 1].
        label: Its true class.
        attacks: What to run, by the name that the figure gives it; each at its largest epsilon.
        class_names: Names by label; the classifier's own by default, numbers where it has none.
        image_id: The picture's name, from which what is random is drawn.
        seed: The other source of what is random.

    Returns:
        The original and what each attack made of it, for ``write_attack_figure``.

    Raises:
        InputError: If the picture is misclassified already, so that there is nothing to attack, or an attack
            cannot be run.
    """
    images = np.asarray(image, np.float32)[None]
    names = class_names if class_names is not None else classifier.class_names
    original = _shown(classifier, images, name="original", names=names)
    predicted = int(classifier.logits(images).numpy().argmax())
    if predicted != label:
        raise InputError(
            f"model {classifier.name} takes picture {image_id} for {original.predicted} and not for "
            f"{_class_name(label, names)}: choose a picture that it gets right"
        )
    attacked = [
        _shown(
            classifier,
            _run(classifier, images, label, request, image_id=image_id, seed=seed),
            name=name,
            names=names,
            setting=_setting(request),
        )
        for name, request in attacks.items()
    ]
    return original, attacked


def _run(
    classifier: Classifier,
    images: np.ndarray,
    label: int,
    request: AttackRequest | FoolboxRequest,
    *,
    image_id: str,
    seed: int,
) -> np.ndarray:
    labels = np.array([label])
    if isinstance(request, FoolboxRequest):
        # Foolbox is imported only if one of its attacks is asked for.
        from bioattack.attacks.foolbox_bridge import AttackBatch
        from bioattack.attacks.foolbox_by_name import run_foolbox

        batch = AttackBatch(images, labels, [image_id])
        outcomes = run_foolbox(
            classifier,
            batch,
            class_name=request.class_name,
            options=dict(request.options),
            epsilons=request.epsilons[-1:],
            seed=seed,
        )
        return outcomes[0].adversarial_images
    from bioattack.attacks.run import ZeroGradientWarning, attack_images

    # The table of the run has a column for this; here a picture that stays as it was shows it.
    with warnings.catch_warnings(action="ignore", category=ZeroGradientWarning):
        attacked = attack_images(
            classifier, images, labels, request, image_ids=[image_id], batch_size=1, seed=seed
        )
    return np.asarray(attacked.adversarial_images[-1])


def _shown(
    classifier: Classifier, images: np.ndarray, *, name: str, names: Sequence[str] | None, setting: str = ""
) -> ShownPicture:
    logits = classifier.logits(images).numpy()[0].astype(np.float64)
    probabilities = np.exp(logits - logits.max())
    predicted = int(logits.argmax())
    confidence = float(probabilities[predicted] / probabilities.sum())
    return ShownPicture(name, images[0], _class_name(predicted, names), confidence, setting)


def _class_name(label: int, names: Sequence[str] | None) -> str:
    return f"class {label}" if names is None else str(names[label])


def _setting(request: AttackRequest | FoolboxRequest) -> str:
    epsilon = request.epsilons[-1]
    if not np.isfinite(epsilon):
        return ""
    return f"{255 * epsilon:.3g}/255" if request.norm == "linf" else f"{epsilon:.3g}"


def _change(original: ShownPicture, shown: ShownPicture) -> np.ndarray:
    before, after = np.asarray(original.image, np.float64), np.asarray(shown.image, np.float64)
    if before.shape != after.shape or before.ndim != 3:
        raise InputError(
            f"the picture of {shown.name} has shape {after.shape}, the original {before.shape}; both must be "
            "(height, width, channels)"
        )
    return after - before


def _percent(shown: ShownPicture) -> str:
    # Of a class with several names ("tench, Tinca tinca") the first is enough.
    name = style.printable(shown.predicted.partition(",")[0], otherwise="its class", limit=22)
    return f"“{name}” {100 * shown.confidence:.1f} %"


def _draw(axes: Axes, pixels: np.ndarray) -> None:
    pixels = np.clip(pixels, 0, 1)
    axes.imshow(
        pixels[..., 0] if pixels.shape[-1] == 1 else pixels,
        cmap="gray",
        vmin=0,
        vmax=1,
        interpolation="nearest" if max(pixels.shape) <= 160 else "antialiased",
    )


def _draw_scale(axes: Axes, scale: float, *, is_cut_off: bool) -> None:
    """The scale that all differences share: black and white of a channel, grey where nothing changed."""
    inner = axes.inset_axes((0.08, 0.3, 0.84, 0.1))
    mappable = ScalarMappable(Normalize(-255 * scale, 255 * scale), "gray")
    bar = axes.figure.colorbar(mappable, cax=inner, orientation="horizontal")
    ticks = [-255 * scale, 0, 255 * scale]
    bar.set_ticks(ticks, labels=[f"{tick:+.2g}" if tick else "0" for tick in ticks])
    bar.outline.set_linewidth(0.5)
    axes.text(
        0.5,
        0.52,
        "difference, in 1/255\nof a channel" + ("\n(larger: cut off)" if is_cut_off else ""),
        ha="center",
        va="bottom",
        fontsize=7.5,
        transform=axes.transAxes,
    )


def _write(axes: Axes, title: str, lines: Sequence[str]) -> None:
    axes.text(0, 0.98, style.printable(title, limit=27), va="top", fontsize=8, weight="bold")
    axes.text(0, 0.78, "\n".join(lines), va="top", fontsize=7.5, linespacing=1.5, color=style.INK)
