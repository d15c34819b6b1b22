"""Sooksatra and Rivas, "Adversarial Training Negatively Affects Fairness": its tables and figures.

Every function takes the scale and gives the experiments behind one name of the registry. Whether they are
those on CIFAR-10 or those on UCI Adult follows from the records: pictures or rows of a table.
"""

import dataclasses
import functools

from bioattack.evaluation.reproduce.config import Scale
from bioattack.evaluation.reproduce.experiment import Experiment
from bioattack.evaluation.reproduce.fairness_left_out import left_out_section
from bioattack.evaluation.reproduce.fairness_measure import LEAST, WHITE_BOX
from bioattack.evaluation.reproduce.fairness_methods import methods_section
from bioattack.evaluation.reproduce.fairness_sections import (
    accuracy_section,
    classes_section,
    groups_section,
    least_epsilon_section,
    success_section,
)


def accuracy(_: Scale) -> tuple[Experiment, ...]:
    """Gives the accuracies of section IV.A."""
    text = (
        "The paper's robust accuracy is higher than the clean one: it can only be that on adversarial "
        "examples of the standard network. On its own the robust network is right far less often.",
    )
    title = "Section IV.A: accuracies of the standard and the robust network"
    return (Experiment("fairness-accuracy", title, text, accuracy_section),)


def classes(_: Scale) -> tuple[Experiment, ...]:
    """Gives Figure 1."""
    text = (
        "The paper: the robust network is less equal, 0.344 against 0.286 (Adult: 0.0205 against 0.0195).",
    )
    title = "Figure 1: accuracy of each class, and CAU"
    return (Experiment("fairness-classes", title, text, classes_section),)


def least_epsilon(_: Scale) -> tuple[Experiment, ...]:
    """Gives Figure 2."""
    text = (
        "The least radius at which PGD fools; 0 where the network is wrong already. The paper: the "
        "classes of the robust network differ more, 0.005 against 0.0014.",
    )
    title = "Figure 2: mean least epsilon of each class, and CRU_eps"
    return (Experiment("fairness-least-epsilon", title, text, least_epsilon_section),)


def success(_: Scale) -> tuple[Experiment, ...]:
    """Gives Tables I and II with Figures 3 and 4."""
    text = (
        "Success over what was right before the attack, and over all: the paper does not say which it means. "
        "The paper: the robust network's classes differ about twice as much.",
    )
    title = "Tables I and II, Figures 3 and 4: success rate of each class, and CRU_s"
    return (Experiment("fairness-success", title, text, success_section),)


def groups(_: Scale) -> tuple[Experiment, ...]:
    """Gives Tables IV and V with Figures 5 and 6."""
    text = (
        "The paper: the robust network is less equal by race. The figures of its Table IV, by gender, are "
        "lost in the text that is to be had, so that nothing stands beside ours there.",
    )
    title = "Tables IV and V, Figures 5 and 6: confidences by protected attribute, and EOU"
    return (Experiment("fairness-groups", title, text, groups_section),)


def leave_one_out(_: Scale) -> tuple[Experiment, ...]:
    """Gives Table III, with two controls."""
    text = (
        "The paper leaves out 100 samples one by one and trains anew each time, so that seed and order "
        "differ, too. The controls tell the two apart: models of the whole set that differ in the seed "
        "alone, and models that share the full model's initial weights and order and lack the sample alone.",
    )
    title = "Table III: leave-one-out unfairness, LUF"
    return (Experiment("fairness-leave-one-out", title, text, left_out_section),)


def methods(_: Scale) -> tuple[Experiment, ...]:
    """Gives the scores after other kinds of training, which the paper leaves to later work."""
    text = (
        "PGD and TRADES attack the network itself in every step, Wasserstein training has no radius but a "
        "price of distance; retrained: merged training that starts from the standard network; median: "
        "the standard network behind a median of 3 x 3 pixels, which the attack knows of.",
    )
    title = "Outlook: the same scores after other kinds of training"
    return (Experiment("fairness-methods", title, text, methods_section),)


def fairness(scale: Scale) -> tuple[Experiment, ...]:
    """Gives all of them; the first has all attacks made at once."""
    finish = functools.partial(accuracy_section, asked=(WHITE_BOX, LEAST))
    return (
        *(dataclasses.replace(experiment, finish=finish) for experiment in accuracy(scale)),
        *classes(scale),
        *least_epsilon(scale),
        *success(scale),
        *groups(scale),
    )
