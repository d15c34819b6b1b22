import subprocess
import sys

import pytest

from bioattack.attacks.registry import ATTACKS, PROTOCOLS, AttackSettings, build_attack
from bioattack.errors import InputError


def test_every_protocol_has_every_norm_and_every_attack_builds():
    for settings in PROTOCOLS.values():
        for name, norm in ATTACKS:
            assert build_attack(name, norm=norm, settings=settings[norm]).norm == norm


def test_the_paper_protocol_is_foolbox_2s_basic_iterative_method():
    # Burhanpurkar 2021, Table 1: 20 steps, step length epsilon / 3, no random start, success at any iterate.
    for settings in PROTOCOLS["paper"].values():
        assert settings == AttackSettings(20, 1 / 3, has_random_start=False, judged="any")


def test_unknown_attack_is_refused():
    with pytest.raises(InputError, match="there is no attack magic in the norm linf; there are pgd in linf"):
        build_attack("magic", norm="linf", settings=PROTOCOLS["paper"]["linf"])


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
