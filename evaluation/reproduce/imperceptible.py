"""Hua, Xu, Blanchet and Nguyen, "Human Imperceptible Attacks": the tables and figures of its section 3.

Every function takes the scale and gives the experiments behind one name of the registry. The attacks are run
once in an output folder, whichever table or figure asks for them.
"""

import functools

from bioattack.evaluation.reproduce.config import Scale
from bioattack.evaluation.reproduce.experiment import Experiment
from bioattack.evaluation.reproduce.imperceptible_attacks import LAMBDAS, STEP_LENGTHS
from bioattack.evaluation.reproduce.imperceptible_digits import digits_section
from bioattack.evaluation.reproduce.imperceptible_saliency import maps_section, saliency_section
from bioattack.evaluation.reproduce.imperceptible_sections import (
    ablation_section,
    defences_section,
    pictures_section,
    spread_section,
)
from bioattack.evaluation.reproduce.imperceptible_tables import attacks_section


def table3_1(_: Scale) -> tuple[Experiment, ...]:
    """Gives Table 3.1."""
    text = (
        "The paper: ours with a = 0 has the smallest LPIPS and DISTS of all, despite larger Lp distances "
        "than PGD; PPGD and LPA do not always succeed.",
        "The steps are so short that rounding to 8 bits undoes some of them: success is counted before and "
        "after.",
    )
    return (
        Experiment(
            "table3.1",
            "Table 3.1: success, distances and time",
            text,
            attacks_section,
            needs_records=False,
        ),
    )


def table3_2(_: Scale) -> tuple[Experiment, ...]:
    """Gives Table 3.2."""
    text = ("The paper: ours with a = 0 moves the saliency map least.",)
    return (
        Experiment(
            "table3.2",
            "Table 3.2: distances between saliency maps",
            text,
            saliency_section,
            needs_records=False,
        ),
    )


def figure3_1(_: Scale) -> tuple[Experiment, ...]:
    """Gives Figure 3.1."""
    text = (
        "One step of length 10 against the curvature of 1 - SSIM leaves the shape of a digit as it is; one "
        "step of the same length along the gradient does not.",
    )
    title = "Figure 3.1: one step by SSIM and one step by L2"
    return (Experiment("figure3.1", title, text, digits_section, needs_records=False),)


def figure3_2(_: Scale) -> tuple[Experiment, ...]:
    """Gives Figure 3.2."""
    text = (
        "The paper sees marbled areas in PerC_AL's pictures, sandy noise in LPA's and an area of noise in "
        "PPGD's.",
    )
    title = "Figure 3.2: originals and attacked pictures"
    return (Experiment("figure3.2", title, text, pictures_section, needs_records=False),)


def figure3_3(_: Scale) -> tuple[Experiment, ...]:
    """Gives Figure 3.3."""
    finish = functools.partial(spread_section, wanted="dists")
    text = (
        "The paper: ours with a = 0 has the smallest quartiles; with a = 1 it is below all rivals but PGD.",
    )
    title = "Figure 3.3: how the distances are spread"
    return (Experiment("figure3.3", title, text, finish, needs_records=False),)


def figure3_3_lpips(_: Scale) -> tuple[Experiment, ...]:
    """Gives the LPIPS form of Figure 3.3."""
    finish = functools.partial(spread_section, wanted="lpips")
    title = "Figure 3.3 for LPIPS, as in the supplement"
    return (Experiment("figure3.3-lpips", title, (), finish, needs_records=False),)


def figure3_4(_: Scale) -> tuple[Experiment, ...]:
    """Gives Figure 3.4."""
    text = ("The paper: PPGD moves the attention from one object to another, ours leaves it.",)
    title = "Figure 3.4: saliency maps side by side"
    return (Experiment("figure3.4", title, text, maps_section, needs_records=False),)


def figure3_5(_: Scale) -> tuple[Experiment, ...]:
    """Gives Figure 3.5."""
    text = (
        "The paper: ours with a = 5 survives both defences best, and with a = 1 survives JPEG better than "
        "PerC_AL.",
        "A defence that the attacker does not know of says little: attacks through it are marked, too.",
    )
    title = "Figure 3.5: success after JPEG compression and with fewer bits"
    return (Experiment("figure3.5", title, text, defences_section, needs_records=False),)


def ablation_lambda(_: Scale) -> tuple[Experiment, ...]:
    """Gives the ablation over lambda, the weight of the distance."""
    finish = functools.partial(ablation_section, setting="weight", values=LAMBDAS)
    text = ("The paper's figures are in its supplement, which is not to be had.",)
    title = "Ablation: the weight λ of the distance"
    return (Experiment("ablation-lambda", title, text, finish, needs_records=False),)


def ablation_epsilon(_: Scale) -> tuple[Experiment, ...]:
    """Gives the ablation over epsilon, the length of a step."""
    finish = functools.partial(ablation_section, setting="step_length", values=STEP_LENGTHS)
    text = ("The paper's figures are in its supplement, which is not to be had.",)
    title = "Ablation: the length ε of a step"
    return (Experiment("ablation-epsilon", title, text, finish, needs_records=False),)


def imperceptible(scale: Scale) -> tuple[Experiment, ...]:
    """Gives everything of section 3."""
    return (
        *table3_1(scale),
        *table3_2(scale),
        *figure3_1(scale),
        *figure3_2(scale),
        *figure3_3(scale),
        *figure3_3_lpips(scale),
        *figure3_4(scale),
        *figure3_5(scale),
        *ablation_lambda(scale),
        *ablation_epsilon(scale),
    )
