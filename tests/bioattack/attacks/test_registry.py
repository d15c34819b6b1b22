import subprocess
import sys

import pytest

from bioattack.attacks.registry import ATTACKS, NORMS, PROTOCOLS, AttackSettings, attack_class, find_attack
from bioattack.errors import InputError


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_of_the_table_can_be_made(name):
    attack = attack_class(name)
    for norm in attack.defaults:
        made = attack.make(norm=norm, num_classes=10, overrides={})
        assert made.norm == norm
        assert made.num_steps == attack.defaults[norm].num_steps


def test_every_protocol_has_every_norm():
    assert all(set(settings) == set(NORMS) for settings in PROTOCOLS.values())


def test_the_foolbox_protocol_has_foolboxs_defaults():
    from foolbox import attacks

    for norm, name in (("linf", "Linf"), ("l2", "L2")):
        theirs = getattr(attacks, f"{name}ProjectedGradientDescentAttack")()
        settings = PROTOCOLS["foolbox"][norm]
        assert (theirs.steps, theirs.rel_stepsize, theirs.random_start, theirs.abs_stepsize) == (
            settings.num_steps,
            settings.relative_step,
            settings.has_random_start,
            None,
        )


def test_names_carry_their_loss():
    assert find_attack("pgd") == ("pgd", None)
    assert find_attack("apgd-dlr-targeted") == ("apgd", "dlr-targeted")


def test_the_paper_protocol_is_foolbox_2s_basic_iterative_method():
    # Burhanpurkar 2021, Table 1: 20 steps, step length epsilon / 3, no random start, success at any iterate.
    for settings in PROTOCOLS["paper"].values():
        assert settings == AttackSettings(20, 1 / 3, has_random_start=False, judged="any")


def test_unknown_attack_is_refused():
    with pytest.raises(InputError, match="there is no attack 'magic'; there are fgsm, bim, pgd"):
        find_attack("magic")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0.1, False, "any"), "num_steps must be at least 1"),
        ((1, 0.0, False, "any"), "relative_step must be above 0"),
        ((1, float("nan"), False, "any"), "relative_step must be above 0"),
        ((1, 0.1, False, "first"), "judged must be one of any, last"),
    ],
)
def test_settings_out_of_range_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        AttackSettings(*arguments)


def test_listing_the_attacks_imports_nothing_heavy():
    code = (
        "import sys, bioattack.attacks.registry; sys.exit(bool({'tensorflow', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
