import json
from pathlib import Path

import pytest

from bioattack.attacks.registry import PROTOCOLS
from bioattack.errors import InputError
from bioattack.evaluation.attack_config import AttackConfig, describe_plan, make_attack_plan
from bioattack.evaluation.config import EvaluateConfig, holds_rows, make_plan
from bioattack.evaluation.row_plan import make_row_plan
from bioattack.testing.small_tables import CLASS_NAMES, SMALL_TABLE


@pytest.fixture
def records(tmp_path):
    """A folder whose manifest says that it holds rows."""
    (tmp_path / "manifest.json").write_text(json.dumps({"table": {}}))
    return tmp_path


def config(records, **changes):
    return EvaluateConfig(model=(Path("model"),), data=records, output=Path("out"), **changes)


def plan(records, **changes):
    return make_row_plan(config(records, **changes), SMALL_TABLE, num_classes=2)


def attack_plan(records, **changes):
    given = AttackConfig(model=(Path("model"),), data=records, output=Path("out"), **changes)
    return make_attack_plan(given, image_shape=(4,), class_names=CLASS_NAMES, table=SMALL_TABLE)


def test_what_was_not_given_is_that_of_the_paper(records):
    made = plan(records)
    (attack,) = made.attacks
    request = attack.stages[0]
    # Sooksatra and Rivas 2022: 10, 15, 20; 40 steps of 2.5 epsilon / 40, random start, any iterate.
    assert (attack.name, attack.norm, attack.epsilons) == ("pgd", "linf", (10.0, 15.0, 20.0))
    assert (request.num_steps, request.relative_step, request.has_random_start) == (40, 0.0625, True)
    assert request.judged == "any"
    assert request.bounds.moved_names == ("age", "rate")
    assert made.probability_columns == ("p0", "p1")
    assert made.settings["perturb"] == "valid"
    assert made.settings["probabilities"] == "all"


def test_what_was_given_is_taken(records):
    made = plan(
        records, epsilons=(3.0, 200.0, 3.0), steps=7, perturb="all", probabilities="none", batch_size=5
    )
    request = made.attacks[0].stages[0]
    assert (request.epsilons, request.num_steps) == ((3.0, 200.0), 7)
    assert len(request.bounds.moved_names) == 4
    assert (made.batch_size, made.probability_columns) == (5, ())
    assert made.notes == ("--epsilons were put in rising order, without repeats: 3.0 200.0.",)
    foolbox = plan(records, protocol="foolbox").attacks[0].stages[0]
    assert foolbox.judged == PROTOCOLS["foolbox"]["linf"].judged == "last"


def test_search_stands_beside_the_ladder(records):
    ladder, search = plan(records, least_epsilon=1.0, independent=True).attacks
    assert not ladder.is_search
    assert search.is_search
    assert search.reported_epsilons == (20.0,)
    assert search.stages[0].bounds == ladder.stages[0].bounds


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norms": ("l2",)}, "--norms: rows of a table are attacked in linf"),
        ({"epsilons_l2": (1.0,)}, "--epsilons-l2: rows of a table are attacked in linf"),
        ({"audit": True}, "--audit asks about the gradients of pictures"),
        ({"least_epsilon": 20.0}, r"must be below the largest of --epsilons \(20\). Received: 20"),
    ],
)
def test_what_pictures_have_is_refused(records, changes, message):
    with pytest.raises(InputError, match=message):
        plan(records, **changes)


def test_pictures_refuse_what_rows_have():
    with pytest.raises(InputError, match="--perturb all: pictures holds pictures"):
        make_plan(config(Path("pictures"), perturb="all"), image_shape=(8, 8, 3))
    with pytest.raises(InputError, match=r"--epsilons must be in \[0, 1\].* Received: 10"):
        config(Path("pictures"), epsilons=(10.0,))
    with pytest.raises(InputError, match="--epsilons must be"):
        config(Path("pictures"), epsilons=(float("inf"),))


def test_pictures_are_planned_as_before():
    made = make_plan(config(Path("pictures")), image_shape=(8, 8, 3), num_classes=10)
    assert made.probabilities == "none"
    assert not {"perturb", "probabilities", "least_epsilon", "group_by"} & set(made.settings)
    kept = make_plan(config(Path("p"), probabilities="clean"), image_shape=(8, 8, 3), num_classes=10)
    assert kept.probability_columns == tuple(f"p{label}" for label in range(10))


def test_too_many_classes_for_columns_are_refused():
    with pytest.raises(InputError, match="--probabilities: 1,000 classes are too many"):
        make_plan(config(Path("p"), probabilities="clean"), image_shape=(8, 8, 3), num_classes=1000)


def test_manifest_tells_what_a_folder_holds(records, tmp_path):
    assert holds_rows(records)
    assert not holds_rows(tmp_path / "nowhere")
    (tmp_path / "manifest.json").write_text("{}")
    assert not holds_rows(tmp_path)


def test_attack_of_rows_is_planned(records):
    made = attack_plan(records, attack=("pgd", "worst-case"))
    assert [attack.epsilons for attack in made.attacks] == [(10.0, 15.0, 20.0)] * 2
    # The targeted DLR loss needs three classes, and square attacks pictures.
    assert [stage.attack for stage in made.attacks[1].stages] == ["apgd-ce"]
    assert made.settings["perturb"] == "valid"
    stage = describe_plan(made)[0]["stages"][0]
    assert stage["moved"] == ["age", "rate"]
    assert "bounds" not in stage
    json.dumps(describe_plan(made))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"attack": ("square",)},
            "--attack square is for pictures; rows of a table are attacked by fgsm, bim",
        ),
        ({"attack": ("perc-al",)}, "--attack perc-al is for pictures"),
        ({"attack": ("foolbox:L2CarliniWagnerAttack",)}, "--attack foolbox:.* is for pictures"),
        ({"norm": "l2"}, "--norm: rows of a table are attacked in linf"),
        ({"quantise": True}, "--quantise is for pictures"),
        ({"judges": ("ssim",)}, "--judges is for pictures"),
        ({"figure": "first"}, "--figure is for pictures"),
        ({"save": "png"}, "--save png is for pictures"),
        ({"epsilons": (-1.0,)}, "--epsilons must be"),
    ],
)
def test_attacks_on_pictures_are_refused(records, changes, message):
    with pytest.raises(InputError, match=message):
        attack_plan(records, **changes)
