"""Burhanpurkar 2021, "Adversarial Robustness via Biologically Inspired Mechanisms": its tables and figures.

Every function takes the scale and gives the experiments behind one name of the registry.
"""

import dataclasses

from bioattack.evaluation.reproduce.biologically_inspired_figures import (
    architectures,
    figure5,
    figure7,
    figure8,
    figure12,
    figure14,
    figure15,
)
from bioattack.evaluation.reproduce.biologically_inspired_rows import (
    ALL_ROWS,
    BASELINE_ROW,
    BILINEAR_ROW,
    BLUR,
    COARSE_ROW,
    CORTICAL,
    CORTICAL_ROW,
    DISCRETE_ROW,
    MULTI_GAZE,
    MULTI_GAZE_L2,
    MULTI_GAZE_L2_ROW,
    MULTI_GAZE_ROW,
    RETINAL_BILINEAR,
    RETINAL_DISCRETE,
    STN,
    STN_ROW,
)
from bioattack.evaluation.reproduce.config import Scale
from bioattack.evaluation.reproduce.costs import costs_section
from bioattack.evaluation.reproduce.experiment import Experiment, Row, Variant
from bioattack.evaluation.reproduce.honest import honest_section
from bioattack.evaluation.reproduce.learning_curves import section_with_learning_curves
from bioattack.evaluation.reproduce.memory import memory_section
from bioattack.evaluation.reproduce.robustness import robustness_section

_IMPOSSIBLE = (
    "The printed 0.02 % and 0.01 % at ε = 0.02 cannot be accuracies on 500 pictures, which go in steps of "
    "0.2 %; the clean accuracy of the standard network is 89.2 % in Table 1 and 88.2 % in Table 2."
)


def table1(_: Scale) -> tuple[Experiment, ...]:
    """Gives Table 1."""
    return (
        Experiment(
            name="table1",
            title="Table 1: robustness to 20 step PGD",
            text=(
                "The paper says that all three kinds of fixations are more robust than the standard "
                "network; its own numbers do not say so of the coarse ones.",
                _IMPOSSIBLE,
            ),
            finish=robustness_section,
            rows=(BASELINE_ROW, COARSE_ROW, DISCRETE_ROW, CORTICAL_ROW),
        ),
    )


def _sampling(name: str, title: str) -> Experiment:
    baseline = dataclasses.replace(BASELINE_ROW, published={**BASELINE_ROW.published, 0.0: 88.2, 0.02: 0.2})
    return Experiment(
        name=name,
        title=title,
        text=(
            "41.0 against 45.0 % on 500 pictures, one run each, is a difference within what chance makes of "
            "it.",
        ),
        finish=robustness_section,
        rows=(
            baseline,
            dataclasses.replace(DISCRETE_ROW, title="Discrete sampling"),
            dataclasses.replace(BILINEAR_ROW, title="Bilinear sampling"),
        ),
        pairs=((RETINAL_BILINEAR.label, RETINAL_DISCRETE.label),),
    )


def table2(_: Scale) -> tuple[Experiment, ...]:
    """Gives Table 2."""
    return (_sampling("table2", "Table 2: discrete and bilinear retinal sampling"),)


def figure9(_: Scale) -> tuple[Experiment, ...]:
    """Gives Figure 9, which draws the numbers of Table 2."""
    return (_sampling("figure9", "Figure 9: the curves of Table 2"),)


def figure16(_: Scale) -> tuple[Experiment, ...]:
    """Gives Figure 16, of which no numbers are printed."""
    return (
        Experiment(
            name="figure16",
            title="Figure 16: parallel transformers and multi-gaze networks",
            text=(
                "No numbers are printed. The text says: parallel transformers are best at ε = 0.01 and "
                "0.005, multi-gaze at 0.001, and multi-gaze with regularisation is better than the standard "
                "network on pictures as they are.",
            ),
            finish=robustness_section,
            rows=(BASELINE_ROW, STN_ROW, MULTI_GAZE_ROW, MULTI_GAZE_L2_ROW),
            pairs=((STN.label, MULTI_GAZE.label), (MULTI_GAZE_L2.label, MULTI_GAZE.label)),
        ),
    )


def comparison(_: Scale) -> tuple[Experiment, ...]:
    """Gives all networks of the paper side by side, with a control that blurs and does not look."""
    return (
        Experiment(
            name="comparison",
            title="The nine networks side by side",
            text=(
                "The blur takes as much detail away as the retinal sampling does on average, evenly over "
                "the picture: what it reaches, no claim about eyes can rest on.",
                _IMPOSSIBLE,
            ),
            finish=section_with_learning_curves,
            rows=ALL_ROWS,
            pairs=(
                (RETINAL_BILINEAR.label, RETINAL_DISCRETE.label),
                (RETINAL_BILINEAR.label, BLUR.label),
                (CORTICAL.label, BLUR.label),
                (MULTI_GAZE_L2.label, MULTI_GAZE.label),
            ),
        ),
    )


def shared_weights(scale: Scale) -> tuple[Experiment, ...]:
    """Gives the comparison of section 3.4: what sharing the weights of the branches saves and costs."""
    rows = []
    for default, title in ((STN, "Parallel transformers"), (MULTI_GAZE, "Multi-gaze")):
        # The presets' own choice is the network that other experiments train, too.
        is_shared_by_default = scale.model_preset == "small"
        for is_shared, word in ((False, "distinct"), (True, "shared")):
            other = Variant(f"{default.label}-{word}", default.model, {"shared_weights": is_shared})
            rows.append(Row(default if is_shared == is_shared_by_default else other, f"{title}, {word}"))
    labels = [row.variant.label for row in rows]
    return (
        Experiment(
            name="shared-weights",
            title="Section 3.4: shared weights",
            text=(
                "The paper prints no numbers: sharing the weights of the five branches is said to lower "
                "accuracy and adversarial accuracy a little and training time and size of the model much.",
            ),
            finish=costs_section,
            rows=tuple(rows),
            pairs=((labels[1], labels[0]), (labels[3], labels[2])),
        ),
    )


def memory(_: Scale) -> tuple[Experiment, ...]:
    """Gives the comparison of section 3.4 between all pictures in memory and records."""
    return (
        Experiment(
            name="memory",
            title="Section 3.4: memory of training",
            text=(
                "Published: about 60 GB with all pictures in memory, 12 GB with records, and a modest gain "
                "in time.",
            ),
            finish=memory_section,
        ),
    )


def branches(_: Scale) -> tuple[Experiment, ...]:
    """Gives the networks with 1, 3, 5 and 9 branches or gazes."""
    rows = [BASELINE_ROW]
    for default, option, word in ((STN, "num_branches", "transformers"), (MULTI_GAZE, "num_gazes", "gazes")):
        for number in (1, 3, 5, 9):
            other = Variant(f"{default.label}-{number}", default.model, {option: number})
            rows.append(
                Row(default if number == 5 else other, f"{number} {word if number > 1 else word[:-1]}")
            )
    return (_outlook("branches", "Outlook: the number of branches", rows),)


def merges(_: Scale) -> tuple[Experiment, ...]:
    """Gives the ways of merging the branches."""
    rows = [BASELINE_ROW]
    for default, title in ((STN, "Transformers"), (MULTI_GAZE, "Gazes")):
        for merge, word in (("logits", "concatenated logits"), ("mean", "mean"), ("features", "features")):
            other = Variant(f"{default.label}-{merge}", default.model, {"merge": merge})
            rows.append(Row(default if merge == "logits" else other, f"{title}, {word}"))
    return (_outlook("merges", "Outlook: how the branches are merged", rows),)


def combinations(_: Scale) -> tuple[Experiment, ...]:
    """Gives networks with two of the mechanisms."""
    rows = [
        *(BASELINE_ROW, BILINEAR_ROW, CORTICAL_ROW, STN_ROW, MULTI_GAZE_ROW),
        Row(Variant("cortical-retinal", "cortical", {"retinal": True}), "Retinal, then cortical"),
        Row(Variant("stn-retinal", "stn", {"eye": "retinal"}), "Transformers, then retinal"),
        Row(
            Variant("multi_gaze-cortical", "multi_gaze", {"eye": "cortical"}),
            "Learned gazes, cortical scales",
        ),
    ]
    return (_outlook("combinations", "Outlook: two mechanisms in one network", rows),)


def _outlook(name: str, title: str, rows: list[Row]) -> Experiment:
    bare = tuple(dataclasses.replace(row, published={}) for row in rows)
    text = ("The paper leaves this to future work: nothing is published to compare with.",)
    return Experiment(name=name, title=title, text=text, finish=robustness_section, rows=bare)


def honest(_: Scale) -> tuple[Experiment, ...]:
    """Gives the nine networks under stronger attacks."""
    return (
        Experiment(
            name="honest",
            title="Stronger attacks than the paper's",
            text=(
                "An accuracy under attack is an upper bound. Here each network meets longer attacks, other "
                "norms, and attacks that take its random or learned gazes into account.",
            ),
            finish=honest_section,
            rows=tuple(dataclasses.replace(row, published={}) for row in ALL_ROWS),
        ),
    )


def fixations(scale: Scale) -> tuple[Experiment, ...]:
    """Gives everything of the paper but what it leaves to the future."""
    return (
        *comparison(scale),
        *table1(scale),
        *table2(scale),
        *figure5(scale),
        *figure7(scale),
        *figure8(scale),
        *figure9(scale),
        *figure12(scale),
        *figure14(scale),
        *figure15(scale),
        *figure16(scale),
        *shared_weights(scale),
        *memory(scale),
        *architectures(scale),
    )
