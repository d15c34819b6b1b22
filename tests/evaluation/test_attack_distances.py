"""What a command says of distances: what is refused at once, and what the choices become."""

import math
import subprocess
import sys
from pathlib import Path

import pytest

from bioattack.errors import InputError
from bioattack.evaluation.attack_config import AttackConfig, describe_plan, make_attack_plan
from bioattack.evaluation.attack_distances import attack_of, json_epsilons, parse_distance_options


def config(**changes):
    return AttackConfig(**{"model": (Path("m"),), "data": Path("d"), "output": Path("o")} | changes)


def plan(**changes):
    return make_attack_plan(config(**changes), image_shape=(8, 8, 3), class_names=("red", "green", "blue"))


OURS = {"attack": ("lagrangian",)}
REFUSED = [
    (OURS | {"lambda_": -1.0}, "--lambda must be a number of at least 0. Received: -1"),
    (OURS | {"lambda_": math.nan}, "--lambda must be a number of at least 0. Received: nan"),
    (OURS | {"confidence": -0.5}, "--confidence must be a number of at least 0. Received: -0.5"),
    (OURS | {"step_size": 0.0}, "--step-size must be above 0. Received: 0"),
    (OURS | {"distance": "eye"}, "--distance: there is no distance 'eye'; there are l1, .*nptm"),
    (OURS | {"epsilons": (0.1,)}, "--epsilons: lagrangian keeps to no radius; leave them out"),
    (OURS | {"least_epsilon": 0.1}, "--least-epsilon: search with one of fgsm, .*square; of worst-case"),
    ({"lambda_": 1.0}, "--lambda goes with --attack lagrangian, and there is none"),
    ({"attack": ("pgd-unbounded",), "distance": "l2"}, "--distance goes with --attack lagrangian, and there"),
    ({"confidence": 1.0}, "--confidence goes with --attack lagrangian or pgd-unbounded, and there is none"),
    ({"judges": ("eye",)}, "--judges: there is no distance 'eye'; there are l1"),
    ({"judges": ("ssim", "ssim")}, "--judges: name each distance once"),
    (
        {"distance_options": ("lpips.weights=a",)},
        "--distance-options: nothing goes by lpips; it would go by a",
    ),
    (OURS | {"distance_options": ("weights=a",)}, "--distance-options are DISTANCE.OPTION=VALUE, such as"),
    (OURS | {"distance_options": ("ssim.weights",)}, "--distance-options are DISTANCE.OPTION=VALUE, such as"),
    (OURS | {"distance_options": ("eye.a=1",)}, "--distance-options: there is no distance 'eye'"),
    (OURS | {"distance_options": ("l2.a=1",)}, "nothing goes by l2; it would go by ssim"),
    ({"attack": ("perc-all",)}, "--attack: there is no loss 'l' for perc-al|there is no attack 'perc-all'"),
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


def test_each_attack_gets_what_it_knows():
    made = plan(
        attack=("lagrangian", "pgd-unbounded", "ppgd", "pgd"),
        distance="dists",
        lambda_=2.0,
        confidence=1.0,
        step_size=0.5,
        step_rule="sign",
        distance_options=("dists.weights=alpha.npz", "nptm.trunk=net.keras"),
        judges=("ssim", "dists"),
        steps=7,
    )
    ours, pgd, ppgd, ball = (attack.stages[0] for attack in made.attacks)
    assert (ours.norm, ours.epsilons, ours.num_steps) == ("dists", (math.inf,), 7)
    assert (ours.distance, ours.distance_weight, ours.confidence) == ("dists", 2.0, 1.0)
    assert (ours.step_length, ours.step_rule) == (0.5, "sign")
    assert ours.distance_options == (("weights", "alpha.npz"),)
    assert (pgd.norm, pgd.epsilons, pgd.distance, pgd.distance_weight) == ("none", (math.inf,), None, None)
    assert (pgd.confidence, pgd.step_length) == (1.0, 0.5)
    assert (ppgd.norm, ppgd.epsilons, ppgd.confidence) == ("nptm", (0.5,), None)
    assert ppgd.distance_options == (("trunk", "net.keras"),)
    assert (ball.norm, len(ball.epsilons)) == ("linf", 4)
    assert [attack.judged for attack in made.attacks] == ["returned", "returned", "returned", "any"]
    assert made.judges == ("ssim", "dists")
    assert made.settings["lambda"] == 2.0
    assert made.settings["epsilons"]["dists"] == [None]


def test_a_radius_in_a_distance_is_an_epsilon():
    assert plan(attack=("lpa",), epsilons=(1.5, 0.25)).attacks[0].epsilons == (0.25, 1.5)
    with pytest.raises(InputError, match="--epsilons mean one thing in linf and another in nptm"):
        plan(attack=("pgd", "lpa"), epsilons=(0.25,))
    # An attack without a radius is in nobody's way.
    assert plan(attack=("pgd", "perc-al"), epsilons=(0.25,)).attacks[1].epsilons == (math.inf,)


def test_settings_and_descriptions_are_json_and_as_before_where_nothing_was_given():
    described = describe_plan(plan(attack=("lagrangian",), distance="l2"))[0]
    assert described["epsilons"] == described["stages"][0]["epsilons"] == [None]
    assert described["stages"][0]["distance"] == "l2"
    new = {"distance", "lambda", "confidence", "step_size", "step_rule", "judges", "distance_options"}
    assert not new & set(plan().settings)
    assert not {"distance", "confidence", "step_length"} & set(describe_plan(plan())[0]["stages"][0])


def test_values_that_look_like_numbers_are():
    options = ["lpips.a=1", "lpips.b=0.5", "lpips.c=true", "lpips.d=x=y.npz"]
    assert parse_distance_options(options, used=["lpips"]) == {
        "lpips": (("a", 1), ("b", 0.5), ("c", True), ("d", "x=y.npz"))
    }


def test_names_mean_attacks():
    names = ("perc-al", "lagrangian-margin", "worst-case", "foolbox:PGD", "pgd-unbounded")
    assert [attack_of(name) for name in names] == ["perc-al", "lagrangian", None, None, "pgd-unbounded"]
    assert json_epsilons((0.5, math.inf)) == [0.5, None]


def test_a_replaced_file_of_weights_makes_another_run(tmp_path):
    file = tmp_path / "pieapp.npz"
    settings = []
    for content in (b"old", b"new", b"new"):
        file.write_bytes(content)
        options = (f"pieapp.weights={file}",)
        settings.append(plan(**OURS, distance="pieapp", distance_options=options).settings)
    assert settings[0] != settings[1] == settings[2]
    assert "distance_files" not in plan(**OURS, distance="ssim").settings
