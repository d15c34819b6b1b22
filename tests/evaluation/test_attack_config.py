"""What an attack is told: what is refused before anything is loaded, and what the choices become."""

import subprocess
import sys
from pathlib import Path

import pytest

from bioattack.attacks.losses import LOSSES
from bioattack.attacks.registry import LOSS_NAMES
from bioattack.attacks.request import AttackRequest, FoolboxRequest
from bioattack.attacks.run import make_attack
from bioattack.errors import InputError
from bioattack.evaluation.attack_config import BALL_NORMS, AttackConfig, describe_plan, make_attack_plan

THREE = ("red", "green", "blue")


def config(**changes):
    return AttackConfig(**{"model": (Path("m"),), "data": Path("d"), "output": Path("o")} | changes)


def plan(*, shape=(8, 8, 3), class_names=THREE, **changes):
    return make_attack_plan(config(**changes), image_shape=shape, class_names=class_names)


REFUSED = [
    ({"attack": ("pdg",)}, "--attack: there is no attack 'pdg'; there are fgsm, .*, foolbox:CLASS and worst"),
    (
        {"attack": ("pgd-foo",)},
        "--attack: there is no loss 'foo' for pgd; there are ce, margin, dlr, dlr-tar",
    ),
    ({"attack": ("pgd-",)}, "--attack: there is no loss '' for pgd"),
    ({"attack": ()}, "--attack: name at least one attack, and each once"),
    ({"attack": ("pgd", "bim", "pgd")}, "--attack: name at least one attack, and each once"),
    ({"judged": "first"}, "--judged must be one of any, last. Received: 'first'"),
    ({"steps": 0}, "--steps must be at least 1. Received: 0"),
    ({"restarts": 0}, "--restarts must be at least 1. Received: 0"),
    ({"draws": -1}, "--draws must be at least 1. Received: -1"),
    ({"limit": 0}, "--limit must be at least 1. Received: 0"),
    ({"seed": -1}, "--seed must be in 0 to 2147483647. Received: -1"),
    ({"relative_step": 0.0}, "--relative-step must be above 0. Received: 0"),
    ({"relative_step": float("nan")}, "--relative-step must be above 0. Received: nan"),
    ({"epsilons": (8.0,)}, r"--epsilons must be in \[0, 1\]: in linf .* 8/255 is 0.0314. Received: 8"),
    ({"epsilons": (8.0,), "norm": "rms"}, r"--epsilons must be in \[0, 1\]: in rms .*Received: 8"),
    ({"epsilons": (-0.1,)}, r"--epsilons must be in \[0, 1\].*Received: -0.1"),
    ({"epsilons": (float("nan"),)}, r"--epsilons must be in \[0, 1\].*Received: nan"),
    ({"epsilons": (-1.0,), "norm": "l2"}, "--epsilons must be a number of at least 0. Received: -1"),
    ({"epsilons": (float("inf"),), "norm": "l1"}, "--epsilons must be a number of at least 0. Received: inf"),
    ({"least_epsilon": 0.0}, "--least-epsilon must be above 0. Received: 0"),
    ({"least_epsilon": 0.1, "independent": True}, "--least-epsilon tries its own epsilons: leave out --ind"),
    (
        {"least_epsilon": 0.1, "attack": ("worst-case",)},
        "--least-epsilon: search with one of fgsm, .*square;",
    ),
    ({"least_epsilon": 0.1, "attack": ("foolbox:PGD",)}, "--least-epsilon: search with one of"),
    (
        {"attack": ("worst-case",), "judged": "last"},
        "--attack worst-case runs each attack .*leave out --judged",
    ),
    ({"attack": ("worst-case",), "random_start": False}, "leave out --random-start"),
    ({"attack": ("worst-case",), "independent": True}, "--attack worst-case is a union, .*leave out --indep"),
    ({"attack": ("pgd", "foolbox:PGD"), "quantise": True}, "--attack foolbox:PGD: .* know nothing of --quan"),
    ({"attack": ("foolbox:PGD",), "target": "red", "restarts": 2}, "know nothing of --restarts, --target;"),
    ({"attack": ("foolbox:PGD",), "steps": 3}, "know nothing of --steps; .*with --foolbox-options"),
    (
        {"foolbox_options": ("steps=3",)},
        "--foolbox-options go with --attack foolbox:CLASS, and there is none",
    ),
    (
        {"foolbox_options": ("steps",), "attack": ("foolbox:PGD",)},
        "--foolbox-options are NAME=VALUE. Received: 'steps'",
    ),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED, ids=[message[:40] for _, message in REFUSED])
def test_what_cannot_be_is_refused_at_once(changes, message):
    with pytest.raises(InputError, match=message):
        config(**changes)


def test_none_of_it_needs_tensorflow():
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from bioattack.errors import InputError\n"
        "from bioattack.evaluation.attack_config import AttackConfig\n"
        "inf, nan = float('inf'), float('nan')\n"
        f"for changes in {[changes for changes, _ in REFUSED]!r}:\n"
        "    try: AttackConfig((Path('m'),), Path('d'), Path('o'), **changes)\n"
        "    except InputError: continue\n"
        "    raise SystemExit(f'{changes} is taken')\n"
        "assert not {'tensorflow', 'foolbox', 'numpy'} & set(sys.modules), 'a heavy import'\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_the_losses_names_are_those_of_the_losses():
    assert tuple(LOSSES) == LOSS_NAMES


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"target": "rouge"},
            "there is no class 'rouge'; give one of red, green, blue or a number from 0 to 2$",
        ),
        ({"target": "3"}, "there is no class '3'; give one of red"),
        ({"target": "-1"}, "there is no class '-1'"),
        ({"epsilons": (14.0,), "norm": "l2"}, r"\[0, 13.86\]: in l2 turning 8 x 8 x 3 values .*Received: 14"),
        ({"epsilons": (193.0,), "norm": "l1"}, r"\[0, 192\]: in l1 turning 8 x 8 x 3 .*Received: 193"),
        ({"least_epsilon": 0.1, "epsilons": (0.0, 0.1)}, r"must be below the largest of --epsilons \(0.1\)"),
        ({"least_epsilon": 0.1, "epsilons": (0.0,)}, r"must be below the largest of --epsilons \(0\)"),
        ({"attack": ("foolbox:Magic",)}, "Foolbox has no attack Magic; there are"),
        (
            {"attack": ("foolbox:L2PGD",), "foolbox_options": ("stps=3",)},
            "Foolbox's L2PGD has no option stps; they are .*steps",
        ),
        ({"attack": ("foolbox:LinfPGD",), "epsilons": (2.0,)}, r"\[0, 1\]: in linf an epsilon is a fraction"),
        (
            {"attack": ("pgd", "foolbox:L2PGD"), "epsilons": (0.1,)},
            r"--epsilons mean one thing in linf and another in l2 \(foolbox:L2PGD\): leave them out",
        ),
    ],
)
def test_what_does_not_fit_the_records_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        plan(**changes)


def test_many_classes_are_not_all_listed():
    with pytest.raises(InputError, match=r"give one of 0, 1, 2, 3, 4, \.\.\. or a number from 0 to 9"):
        plan(target="ten", class_names=tuple(map(str, range(10))))


@pytest.mark.parametrize(("target", "label"), [("green", 1), ("1", 1), (None, None)])
def test_a_target_is_a_name_or_a_number(target, label):
    assert plan(target=target).attacks[0].target == label


def test_a_name_that_is_a_number_is_a_name():
    assert plan(target="0", class_names=("1", "0")).attacks[0].target == 1


def test_epsilons_are_put_in_order_with_a_note():
    made = plan(epsilons=(0.1, 0.0, 0.01, 0.1))
    assert made.attacks[0].epsilons == (0.0, 0.01, 0.1)
    assert made.notes == ("--epsilons were put in rising order, without repeats: 0.0 0.01 0.1.",)


def test_default_epsilons_have_the_same_root_mean_square_in_every_norm():
    steps = (1 / 255, 2 / 255, 4 / 255, 8 / 255)
    assert plan().attacks[0].epsilons == steps
    assert plan(norm="rms").attacks[0].epsilons == steps
    # 64 x 64 x 3 values: sqrt(12288) = 110.85 and 12288 times as much, to two digits: at most 5 % off.
    for norm, scale in (("l2", 110.85), ("l1", 12288)):
        made = plan(norm=norm, shape=(64, 64, 3)).attacks[0].epsilons
        assert made == pytest.approx([step * scale for step in steps], rel=0.05)
    # One value alone: its L2 and L1 are those of the pixel itself.
    assert plan(norm="l2", shape=(1, 1, 1)).attacks[0].epsilons[-1] == pytest.approx(8 / 255, rel=0.05)


def test_worst_case_takes_what_there_are_classes_and_norms_for():
    assert [stage.attack for stage in plan(attack=("worst-case",)).attacks[0].stages] == [
        "apgd-ce",
        "apgd-dlr-targeted",
        "square",
    ]
    two = plan(attack=("worst-case",), class_names=("cat", "dog")).attacks[0]
    assert [stage.attack for stage in two.stages] == ["apgd-ce", "square"]
    assert two.needs_gradient
    l1 = plan(attack=("worst-case",), norm="l1").attacks[0]
    assert [stage.attack for stage in l1.stages] == ["apgd-ce", "apgd-dlr-targeted"]


def test_what_is_asked_reaches_every_attack():
    made = plan(
        attack=("pgd-margin", "bim"),
        norm="l2",
        epsilons=(0.5, 1.0),
        independent=True,
        steps=7,
        relative_step=0.3,
        random_start=False,
        judged="last",
        quantise=True,
        restarts=3,
        target="blue",
        draws=2,
    )
    expected = {
        "norm": "l2",
        "epsilons": (0.5, 1.0),
        "is_independent": True,
        "num_steps": 7,
        "relative_step": 0.3,
        "has_random_start": False,
        "judged": "last",
        "is_quantised": True,
        "num_restarts": 3,
        "target": 2,
        "num_draws": 2,
    }
    assert [attack.stages for attack in made.attacks] == [
        (AttackRequest("pgd-margin", **expected),),
        (AttackRequest("bim", **expected),),
    ]
    assert {attack.judged for attack in made.attacks} == {"last"}


def test_a_search_reports_the_largest_epsilon_alone():
    attack = plan(least_epsilon=0.001, epsilons=(0.1, 0.2)).attacks[0]
    assert attack.is_search
    assert attack.reported_epsilons == (0.2,)
    assert attack.stages[0].least_epsilon_width == 0.001


def test_a_class_of_foolbox_has_its_own_norm():
    made = plan(attack=("foolbox:L2CarliniWagnerAttack",), foolbox_options=("steps=5",), epsilons=(0.5, 9.0))
    assert made.attacks[0].stages == (
        FoolboxRequest("L2CarliniWagnerAttack", (("steps", "5"),), "l2", (0.5, 9.0)),
    )
    assert made.attacks[0].judged == "returned"
    assert made.settings["epsilons"] == {"l2": [0.5, 9.0]}
    assert not made.attacks[0].needs_gradient


@pytest.mark.parametrize(
    ("name", "needs_gradient"), [("square", False), ("square-ce", False), ("fgsm", True)]
)
def test_who_needs_a_gradient(name, needs_gradient):
    assert plan(attack=(name,)).attacks[0].needs_gradient is needs_gradient


def test_the_description_says_of_each_attack_what_it_is_made_of():
    described = describe_plan(plan(attack=("worst-case", "pgd"), steps=9, epsilons=(0.1,)))
    assert [entry["attack"] for entry in described] == ["worst-case", "pgd"]
    assert [stage["attack"] for stage in described[0]["stages"]] == ["apgd-ce", "apgd-dlr-targeted", "square"]
    assert {stage["num_steps"] for entry in described for stage in entry["stages"]} == {9}
    assert described[1]["epsilons"] == [0.1]


@pytest.mark.parametrize("norm", BALL_NORMS)
@pytest.mark.parametrize("num_classes", [2, 3, 4, 11])
def test_what_worst_case_takes_can_be_made(norm, num_classes):
    names = tuple(map(str, range(num_classes)))
    for stage in plan(attack=("worst-case",), norm=norm, class_names=names).attacks[0].stages:
        assert make_attack(stage, num_classes=num_classes).norm == norm
