"""Burhanpurkar 2021: the figures that show pictures, where networks look, and what networks are made of."""

import functools

from bioattack.evaluation.reproduce.biologically_inspired_rows import (
    BASELINE,
    COARSE,
    CORTICAL,
    MULTI_GAZE,
    MULTI_GAZE_L2_ROW,
    MULTI_GAZE_ROW,
    RETINAL_BILINEAR,
    RETINAL_DISCRETE,
    STN,
    STN_ROW,
)
from bioattack.evaluation.reproduce.config import Scale
from bioattack.evaluation.reproduce.experiment import Experiment
from bioattack.evaluation.reproduce.looking import (
    architectures_section,
    boxes_section,
    checkerboard_section,
    fixations_section,
    gazes_section,
    samples_section,
)


def figure5(_: Scale) -> tuple[Experiment, ...]:
    """Gives the right side of Figure 5, for which nothing is trained."""
    finish = functools.partial(fixations_section, variants=(COARSE, RETINAL_BILINEAR, CORTICAL))
    return (Experiment("figure5", "Figure 5: fixations on a picture", (), finish),)


def figure7(_: Scale) -> tuple[Experiment, ...]:
    """Gives Figure 7."""
    return (Experiment("figure7", "Figure 7: pictures of each class", (), samples_section),)


def figure8(_: Scale) -> tuple[Experiment, ...]:
    """Gives Figure 8, which needs no pictures."""
    title = "Figure 8: a checkerboard, flat, under discrete and under bilinear sampling"
    return (Experiment("figure8", title, (), checkerboard_section, needs_records=False),)


def figure12(_: Scale) -> tuple[Experiment, ...]:
    """Gives Figure 12."""
    text = ("Trained windows on test pictures.",)
    return (
        Experiment("figure12", "Figure 12: the transformer's windows", text, boxes_section, rows=(STN_ROW,)),
    )


def figure14(_: Scale) -> tuple[Experiment, ...]:
    """Gives Figure 14, for which nothing is trained."""
    finish = functools.partial(fixations_section, variants=(RETINAL_DISCRETE, RETINAL_BILINEAR))
    text = ("What a gaze makes of a picture does not depend on the weights.",)
    return (Experiment("figure14", "Figure 14: a picture, and what a gaze makes of it", text, finish),)


def figure15(_: Scale) -> tuple[Experiment, ...]:
    """Gives Figure 15, without and with regularisation."""
    text = (
        "The paper found the gazes of its first model in the extreme corners, and regularised it for that.",
    )
    rows = (MULTI_GAZE_ROW, MULTI_GAZE_L2_ROW)
    return (
        Experiment(
            "figure15", "Figure 15: where the multi-gaze networks look", text, gazes_section, rows=rows
        ),
    )


def architectures(_: Scale) -> tuple[Experiment, ...]:
    """Gives Figures 6, 10, 11 and 13, for which nothing is trained and no pictures are needed."""
    variants = (BASELINE, COARSE, RETINAL_BILINEAR, CORTICAL, STN, MULTI_GAZE)
    return (
        Experiment(
            name="architectures",
            title="Figures 6, 10, 11, 13: the networks",
            text=("Drawn from the networks themselves, in the sizes of the preset.",),
            finish=functools.partial(architectures_section, variants=variants),
            needs_records=False,
        ),
    )
