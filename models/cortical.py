"""Cortical fixations: a network for each of several scales around a point."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from bioattack.models.backbones import Backbone
from bioattack.models.building import augment, check_choice, check_sizes, layer_seed
from bioattack.models.coarse import classify_fixations
from bioattack.models.layers.cortical_fixation import CorticalFixation, CorticalGeometry, cortical_geometry
from bioattack.models.layers.fixations import FixationGazes, FoldFixations, five_gazes

# In the small preset, a look costs about what resnet18 of width 8 does on the whole image: 3.8 million
# multiply-adds at 64 pixels (3.4), 2.8 at 32 (3.4).
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "small": {"width": 6, "batch_norm_momentum": 0.9},
    "paper": {},
}
MERGES = ("features", "mean", "max")
MATCHES = ("macs", "params")
# Widths with which the published scales (four of resnet18 at 320 pixels, two of resnet20 at 32) equal the
# published baseline; that for the parameters of resnet20 is ours (261,414 of 274,442).
_MATCHED_WIDTHS = {
    ("resnet18", "macs"): 45,
    ("resnet18", "params"): 32,
    ("resnet20", "macs"): 22,
    ("resnet20", "params"): 11,
}
_PUBLISHED_STEM_WIDTH = 64


def cortical(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    backbone: str = "resnet18",
    width: int | None = None,
    stem_width: int | None = None,
    stem_stride: int | None = 1,
    pool_stride: int | None = 1,
    batch_norm_momentum: float = 0.99,
    match: str = "macs",
    scales: Sequence[int] | None = None,
    merge: str = "features",
    dropout: float = 0.0,
    auxiliary: bool | None = None,
    retinal: bool = False,
    whole: bool = False,
    when_tested: str = "fixed",
    augmentation: str = "paper",
    seed: int | None = None,
) -> keras.Model:
    """Builds the network with cortical fixations: crops of several sizes around a point, all in few pixels.

    Each scale has a network of its own; their pooled features go into one dense layer. In training one random
    gaze is drawn for the whole batch; otherwise the logits of five gazes are averaged. There are four scales,
    two below 48 pixels; ``cortical_geometry`` says which.

    Args:
        image_shape: ``(height, width, channels)``, height and width 16 or more.
        num_classes: Number of logits, 2 or more.
        backbone: ``"resnet18"``, or ``"resnet20"`` for CIFAR-10.
        width: Filters of the first stage of each scale's network; ``None``: by ``match``.
        stem_width: Of ``resnet18``: filters of the first convolution; ``None``: 64 where ``width`` is
            ``None`` too, else ``width``.
        stem_stride: Of ``resnet18``: stride of the first convolution; ``None``: by the size of the views.
        pool_stride: Of ``resnet18``: stride of the maximum pooling; ``None``: likewise.
        batch_norm_momentum: 0.99 as published, 0.9 for runs of a few epochs.
        match: What equals the published baseline where ``width`` is ``None``: the multiply-adds (``"macs"``,
            as published: width 45, with ``resnet20`` 22) or the parameters (``"params"``: 32 and 11).
        scales: Numbers of the scales to look at, 1 the smallest crop; ``None``: all.
        merge: How features of the scales are merged: ``"features"`` side by side, or their ``"mean"`` or
            ``"max"``.
        dropout: Share of the merged features that is left out in training, in [0, 1).
        auxiliary: Whether each scale is to be trained with a loss of its own, too: names of the layers are in
            the model's ``auxiliary_features``. ``None``: as published, with ``resnet18`` only.
        retinal: Whether the image is first sampled as by a retina with the same gaze.
        whole: Whether the widest scale is the whole image and stays still, while the others look further:
            the published variant with scale 4 frozen, see ``cortical_geometry``.
        when_tested: ``"fixed"`` or ``"random"``: where to look in the test, see ``FixationGazes``.
        augmentation: ``"paper"``, ``"reference"``, ``"crop"`` or ``"none"``, see ``building.augment``.
        seed: Initial weights, augmentation and gazes are a function of it; ``None``: of the global state.

    Returns:
        A functional model from float32 images in [0, 1] to float32 logits. Its layer ``gazes`` says where it
        looks, ``views`` gives what it sees there, ``scale_1_features`` and so on what each network makes of
        it.

    Raises:
        ValueError: If an argument is out of its range.

    Source:
        Vuyyuru et al. 2020, cortical sampling, and its public code.

    >>> cortical((320, 320, 3), 10).count_params()
    22227522
    """
    check_sizes(image_shape, num_classes)
    check_choice("match", match, choices=MATCHES)
    if isinstance(dropout, bool) or not 0 <= dropout < 1:
        raise ValueError(f"dropout must be at least 0 and below 1. Received: dropout={dropout!r}")
    geometry = cortical_geometry(min(image_shape[:2]), whole=whole)
    numbers = _check_scales(scales, num_scales=len(geometry.crops))
    network = Backbone(
        name=backbone,
        width=_MATCHED_WIDTHS.get((backbone, match), 1) if width is None else width,
        stem_width=_PUBLISHED_STEM_WIDTH if stem_width is None and width is None else stem_width,
        stem_stride=stem_stride,
        pool_stride=pool_stride,
        batch_norm_momentum=batch_norm_momentum,
        seed=seed,
    )
    images = keras.Input(image_shape, name="images")
    outputs = augment(images, augmentation, seed=seed)
    gazes = _choose_gazes(outputs, geometry, when_tested=when_tested, seed=seed)
    num_still = int(whole and numbers[-1] == len(geometry.crops))
    views = _look_at_scales(outputs, gazes, geometry, numbers=numbers, num_still=num_still, retinal=retinal)
    features = [
        network.features(f"scale_{number}_")(view) for number, view in zip(numbers, views, strict=True)
    ]
    merged = _merge(features, merge)
    if dropout:
        merged = keras.layers.Dropout(dropout, seed=layer_seed(seed, "dropout"), name="dropout")(merged)
    logits = classify_fixations(merged, gazes, num_classes=num_classes, network=network)
    model = keras.Model(images, logits, name="cortical")
    if auxiliary or (auxiliary is None and backbone == "resnet18"):
        model.auxiliary_features = tuple(f"scale_{number}_features" for number in numbers)
    return model


def _check_scales(scales: Sequence[int] | None, *, num_scales: int) -> list[int]:
    """The numbers of the scales, from the smallest crop to the largest."""
    every = list(range(1, num_scales + 1))
    if scales is None:
        return every
    numbers = sorted(scales)
    if not numbers or len(set(numbers)) < len(numbers) or not set(numbers) <= set(every):
        raise ValueError(
            f"scales must be different numbers from 1 to {num_scales} at this image size. "
            f"Received: scales={scales!r}"
        )
    return numbers


def _choose_gazes(images: Any, geometry: CorticalGeometry, *, when_tested: str, seed: int | None) -> Any:
    """Where to look: ``(batch, num_gazes, 2)``."""
    offset = geometry.gaze_offset
    return FixationGazes(
        fixed=five_gazes(offset),
        lowest=-offset,
        highest=offset - 1,
        per_batch=True,
        when_tested=when_tested,
        seed=layer_seed(seed, "gazes"),
        name="gazes",
    )(images)


def _look_at_scales(
    images: Any,
    gazes: Any,
    geometry: CorticalGeometry,
    *,
    numbers: Sequence[int],
    num_still: int,
    retinal: bool,
) -> Any:
    """One batch of views for each scale that is asked for."""
    # float32, because mixed precision would round the gazes.
    folded, gaze = FoldFixations(name="fold")(images, gazes)
    if retinal:
        from bioattack.models.layers.retinal_sampling import RetinalSampling

        folded = RetinalSampling(mode="nearest", dtype="float32", name="retina")(folded, gaze)
    crops, radii = ([sizes[number - 1] for number in numbers] for sizes in (geometry.crops, geometry.radii))
    return CorticalFixation(crops, radii, num_still=num_still, name="views")(folded, gaze)


def _merge(features: Sequence[Any], merge: str) -> Any:
    """The features of all scales as one."""
    check_choice("merge", merge, choices=MERGES)
    if len(features) == 1:
        return features[0]
    layers = {
        "features": keras.layers.Concatenate,
        "mean": keras.layers.Average,
        "max": keras.layers.Maximum,
    }
    return layers[merge](name="features")(features)
