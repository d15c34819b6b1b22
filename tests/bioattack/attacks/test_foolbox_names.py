import importlib.util
import inspect
import subprocess
import sys

import pytest

from bioattack.attacks.foolbox_bridge import foolbox_attacks
from bioattack.attacks.foolbox_names import (
    build_foolbox_attack,
    foolbox_attack_names,
    foolbox_norm,
    foolbox_options,
)
from bioattack.errors import InputError

PREFIXES = {"L0": "l0", "L1": "l1", "L2": "l2", "Linf": "linf", "LInf": "linf", "Linfinity": "linf"}


def test_every_concrete_attack_of_foolbox_is_listed_once():
    exported = {
        attack.__name__
        for attack in vars(foolbox_attacks).values()
        if inspect.isclass(attack)
        and issubclass(attack, foolbox_attacks.Attack)
        and not inspect.isabstract(attack)
    }
    assert exported - set(foolbox_attack_names()) == {"SpatialAttack", "PointwiseAttack"}
    assert set(foolbox_attack_names()) <= exported


def test_the_norm_is_the_one_in_the_name():
    for name, norm in foolbox_attack_names().items():
        prefixes = [prefix for prefix in PREFIXES if name.startswith(prefix)]
        if prefixes:
            assert norm == PREFIXES[max(prefixes, key=len)], name
    # These do not say it in their names: Foolbox's documentation does.
    others = {"DDNAttack": "l2", "EADAttack": "l1", "BoundaryAttack": "l2", "GenAttack": "linf"}
    assert others.items() <= foolbox_attack_names().items()


def test_the_norm_follows_the_options():
    assert foolbox_norm("HopSkipJumpAttack", {}) == "l2"
    assert foolbox_norm("HopSkipJumpAttack", {"constraint": "linf"}) == "linf"
    assert foolbox_norm("InversionAttack", {}) == "l2"
    assert foolbox_norm("InversionAttack", {"distance": "l1"}) == "l1"


def test_options_are_read_as_the_constructor_declares_them():
    attack = build_foolbox_attack("PGD", {"steps": "7", "rel_stepsize": "0.5", "random_start": "false"})
    assert type(attack).__name__ == "LinfProjectedGradientDescentAttack"
    assert (attack.steps, attack.rel_stepsize, attack.random_start) == (7, 0.5, False)
    assert attack.abs_stepsize is None
    assert build_foolbox_attack("L2DeepFoolAttack", {"candidates": "none"}).candidates is None
    assert build_foolbox_attack("L2DeepFoolAttack", {"candidates": 3, "loss": "crossentropy"}).candidates == 3
    assert build_foolbox_attack("GenAttack", {"reduced_dims": "4,5"}).reduced_dims == (4, 5)
    start = build_foolbox_attack("BoundaryAttack", {"init_attack": "InversionAttack"}).init_attack
    assert type(start).__name__ == "InversionAttack"


def test_options_and_their_defaults_are_listed():
    assert foolbox_options("L2CarliniWagnerAttack")["binary_search_steps"] == 9
    assert foolbox_options("InversionAttack") == {"distance": "l2"}
    assert foolbox_options("L2AdditiveGaussianNoiseAttack") == {}
    assert foolbox_options("VirtualAdversarialAttack")["steps"] is inspect.Parameter.empty
    assert "tensorboard" not in foolbox_options("BoundaryAttack")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "LinfFastGradient",
            {},
            "Foolbox has no attack LinfFastGradient; did you mean LinfFastGradientAttack",
        ),
        ("deepfool", {}, r"did you mean .*DeepFoolAttack"),
        ("Attack", {}, "Foolbox has no attack Attack;"),
        ("MinimizationAttack", {}, "Foolbox has no attack MinimizationAttack;"),
        ("", {}, "Foolbox has no attack without a name; there are BinarizationRefinementAttack, "),
        (
            "qqqq",
            {},
            r"no attack qqqq; there are BinarizationRefinementAttack, (\w+, ){2}\w+ and \d\d more \(https:",
        ),
        ("SpatialAttack", {}, "SpatialAttack is not offered: it turns and shifts pictures"),
        ("FGSM", {"step": "1"}, "Foolbox's FGSM has no option step; they are random_start"),
        ("L2AdditiveUniformNoiseAttack", {"a": "1"}, "has no option a; it takes none"),
        ("VirtualAdversarialAttack", {}, "needs the option steps: give steps=VALUE"),
        (
            "DDNAttack",
            {"steps": "many"},
            "steps of Foolbox's DDNAttack must be a whole number. Received: 'many'",
        ),
        ("DDNAttack", {"steps": "1.5"}, "must be a whole number. Received: '1.5'"),
        ("DDNAttack", {"steps": True}, "must be a whole number. Received: True"),
        ("DDNAttack", {"gamma": "nan"}, "gamma of Foolbox's DDNAttack must be a number. Received: 'nan'"),
        ("FGSM", {"random_start": "perhaps"}, "must be true or false. Received: 'perhaps'"),
        ("L2DeepFoolAttack", {"candidates": "x"}, "must be a whole number or none. Received: 'x'"),
        ("L2DeepFoolAttack", {"loss": "margin"}, "must be logits or crossentropy. Received: 'margin'"),
        ("GenAttack", {"reduced_dims": "4"}, "must be 2 numbers with a comma between them or none"),
        ("InversionAttack", {"distance": "l3"}, "must be one of l0, l1, l2, linf or none. Received: 'l3'"),
        (
            "BoundaryAttack",
            {"init_attack": "FGSM"},
            "must be the name of an attack that searches for the nearest",
        ),
        ("LinearSearchBlendedUniformNoiseAttack", {"directions": "0"}, "refuses its options"),
    ],
)
def test_what_does_not_fit_is_refused(name, options, message):
    with pytest.raises(InputError, match=message):
        build_foolbox_attack(name, options)


@pytest.mark.skipif(importlib.util.find_spec("numba") is not None, reason="numba is installed")
def test_a_missing_package_is_named():
    with pytest.raises(InputError, match=r"L2BrendelBethgeAttack needs numba.*pip install numba"):
        build_foolbox_attack("L2BrendelBethgeAttack", {})


def test_foolbox_is_imported_only_when_asked():
    code = (
        "import sys, bioattack.attacks.foolbox_names\n"
        "sys.exit(bool({'tensorflow', 'foolbox'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
