"""What there is to be made again of section 4 of the paper on attacks that people cannot see, by name."""

from bioattack.evaluation.reproduce.config import Scale
from bioattack.evaluation.reproduce.experiment import Experiment
from bioattack.evaluation.reproduce.income_known_bias import known_bias_section
from bioattack.evaluation.reproduce.income_sections import accuracy_section, images_section, slopes_section
from bioattack.evaluation.reproduce.income_transport import transport_section


def figure4_1(_: Scale) -> tuple[Experiment, ...]:
    """Gives Figure 4.1."""
    text = (
        "The paper: accuracy of the pretrained network rises with income, F(1, 39) = 5.392, p = 0.02554.",
    )
    title = "Figure 4.1: accuracy of each country against its income"
    return (Experiment("figure4.1", title, text, accuracy_section, needs_records=False),)


def figure4_2(_: Scale) -> tuple[Experiment, ...]:
    """Gives Figure 4.2."""
    text = (
        "The paper: both kinds of training lower the slope, perceptual attacks more than PGD (t = 3.852, "
        "p = 0.00017), and they cost less accuracy.",
        "Both sets start from the pretrained network and differ in the attack alone; networks of one seed "
        "are a pair.",
    )
    title = "Figure 4.2: slopes after training on two kinds of attacks"
    return (Experiment("figure4.2", title, text, slopes_section, needs_records=False),)


def images_per_country(_: Scale) -> tuple[Experiment, ...]:
    """Gives the chart of images per country."""
    text = ("The paper shows it in its supplement, which is not to be had.",)
    return (
        Experiment("images-per-country", "Images per country", text, images_section, needs_records=False),
    )


def transport(_: Scale) -> tuple[Experiment, ...]:
    """Gives the sweep over lambda."""
    text = (
        "The weight λ of the distance is given, the radius δ of the ball of distributions (3.2) is what "
        "comes out: the curve is the largest expected loss within δ.",
    )
    title = "Worst-case loss against transport cost"
    return (Experiment("transport", title, text, transport_section, needs_records=False),)


def known_bias(_: Scale) -> tuple[Experiment, ...]:
    """Gives the check on pictures whose bias is known."""
    text = (
        "The pictures are drawn with a stated bias: light and clutter worsen as income falls. The test must "
        "find it where it is, and where it is not must reject no more often than it says. Always on drawn "
        "pictures, whatever --data is.",
    )
    title = "A bias that is known"
    return (Experiment("known-bias", title, text, known_bias_section, needs_records=False),)


def income(scale: Scale) -> tuple[Experiment, ...]:
    """Gives everything on accuracy and income."""
    return (
        *images_per_country(scale),
        *figure4_1(scale),
        *figure4_2(scale),
        *transport(scale),
        *known_bias(scale),
    )
