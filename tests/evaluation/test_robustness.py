import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from PIL import Image

from bioattack.attacks.request import AttackRequest, FoolboxRequest
from bioattack.attacks.run import attack_images
from bioattack.classifier import load_classifier
from bioattack.errors import InputError
from bioattack.evaluation import robustness
from bioattack.evaluation.config import EvaluateConfig, PlannedAttack, make_plan
from bioattack.evaluation.examples import ExampleWriter, choose_examples, list_examples
from bioattack.evaluation.results import COLUMNS, read_results
from bioattack.evaluation.robustness import Pictures, RobustnessMeasurement
from bioattack.evaluation.tables import adversarial_table, clean_table, least_epsilon_table
from bioattack.testing.check_attack import made_up_classifier, norm_of

SHAPE, NUM_IMAGES = (8, 8, 3), 30


def config(**changes):
    return EvaluateConfig(
        **{
            "model": (Path("m"),),
            "data": Path("d"),
            "output": Path("o"),
            "batch_size": 8,
            "steps": 6,
            "epsilons": (0.0, 0.005, 0.02, 0.05, 0.2),
            "quiet": True,
        }
        | changes
    )


@pytest.fixture(scope="module")
def classifiers():
    return [
        made_up_classifier(),
        load_classifier(lambda images: images[:, 0, 0] * 3, name="corner", image_shape=SHAPE),
    ]


@pytest.fixture(scope="module")
def pictures(classifiers):
    """Pictures of 8 bits with the first model's labels, but for every fifth."""
    generator = np.random.default_rng(3)
    images = (generator.integers(0, 256, (NUM_IMAGES, *SHAPE)) / 255).astype(np.float32)
    labels = classifiers[0].logits(images).numpy().argmax(1)
    labels[::5] = (labels[::5] + 1) % 4
    labels = np.minimum(labels, 2)

    def batches(size=8):
        for start in range(0, NUM_IMAGES, size):
            part = slice(start, start + size)
            yield {
                "image": images[part],
                "label": labels[part].astype(np.int32),
                "image_id": np.array([f"test/{i:04d}.png" for i in range(NUM_IMAGES)[part]]),
                "group_country": np.array(["NA" if i % 2 else "KEN" for i in range(NUM_IMAGES)[part]]),
            }

    return Pictures(batches, NUM_IMAGES, 4, ("country",))


def measure(classifiers, pictures, folder, **changes):
    plan = make_plan(config(**changes), image_shape=SHAPE)
    measurement = RobustnessMeasurement(classifiers, pictures, plan=plan, folder=folder / "unfinished")
    measurement.run(example_writers(folder, plan))
    measurement.write_table(folder / "results.csv.gz")
    return read_results(folder)


def example_writers(folder, plan):
    def writers(classifier, clean):
        chosen = choose_examples(clean)
        return [
            ExampleWriter(folder / "examples", model=classifier.name, image_ids=chosen, attacks=plan.attacks)
        ]

    return writers


@pytest.fixture(scope="module")
def output(classifiers, pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("output")
    measure(classifiers, pictures, folder)
    return folder


@pytest.fixture(scope="module")
def results(output):
    return read_results(output)


def test_one_row_per_image_model_norm_and_epsilon(results):
    assert list(results.columns) == [*COLUMNS, "country"]
    assert len(results) == 2 * NUM_IMAGES * (1 + 2 * 5)
    assert not results.duplicated(["image_id", "model", "attack", "norm", "epsilon"]).any()
    assert set(results["country"]) == {"NA", "KEN"}
    assert set(results["judged"]) == {"none", "any"}
    assert results["correct_clean"].eq(results["predicted_clean"] == results["label"]).all()


def test_success_is_correct_before_and_wrong_after(results):
    is_wrong_after = results["predicted_adversarial"] != results["label"]
    assert results["success"].equals(results["correct_clean"] & is_wrong_after)
    assert not results.loc[~results["correct_clean"], ["success", "success_8bit"]].any(axis=None)
    is_tie = results["margin_adversarial"] == 0
    assert ((results["margin_adversarial"] < 0) == is_wrong_after)[~is_tie].all()
    untouched = results[~results["correct_clean"]]
    assert (untouched[["l1", "l2", "linf", "steps"]] == 0).all(axis=None)


def test_perturbations_keep_to_their_budget(results):
    for norm in ("linf", "l2"):
        rows = results[results["norm"] == norm]
        assert (rows[norm] <= rows["epsilon"] * (1 + 1e-5) + 1e-7).all()
        assert (rows[norm] > 0).any()
    assert (results["linf"] <= results["l2"] + 1e-12).all()
    assert (results["l2"] <= results["l1"] + 1e-12).all()


def test_epsilon_0_equals_clean(results):
    for _, rows in results[results["epsilon"] == 0].groupby("model"):
        assert (rows["predicted_adversarial"] == rows["predicted_clean"]).all()
        assert not rows["success"].any()
        assert (rows["margin_adversarial"] == rows["margin_clean"]).all()


def test_accuracy_falls_with_epsilon(results):
    for _, rows in adversarial_table(results).groupby(["model", "norm"]):
        assert rows["accuracy"].is_monotonic_decreasing
        assert rows["accuracy"].iloc[-1] < rows["accuracy"].iloc[0]


def test_rounding_to_8_bits_undoes_the_smallest_changes(classifiers, pictures, tmp_path):
    # Below half a level of 1/255 an 8-bit picture comes back as it was.
    rows = measure(classifiers[1:], pictures, tmp_path, epsilons=(0.9 / 510, 0.2), norms=("linf",))
    table = adversarial_table(rows)
    clean = clean_table(rows)["accuracy"].iloc[0]
    assert table["accuracy_8bit"].iloc[0] == clean
    assert table["accuracy_8bit"].iloc[1] == table["accuracy"].iloc[1] < clean


def test_models_are_paired_on_the_same_images(results):
    one, other = (rows for _, rows in results[results["attack"] == "none"].groupby("model"))
    assert list(one["image_id"]) == list(other["image_id"])
    assert list(one["label"]) == list(other["label"])


class KilledError(Exception):
    pass


@pytest.mark.parametrize("num_chunks", [0, 1, 7, 60])
def test_killed_and_resumed_equals_uninterrupted(
    num_chunks, output, classifiers, pictures, tmp_path, monkeypatch
):
    original, done = robustness.replacing, []

    def dying(path):
        if len(done) == num_chunks:
            raise KilledError
        done.append(path)
        return original(path)

    monkeypatch.setattr(robustness, "replacing", dying)
    with pytest.raises(KilledError):
        measure(classifiers, pictures, tmp_path)
    monkeypatch.undo()
    assert len(list((tmp_path / "unfinished").iterdir())) == num_chunks
    (tmp_path / "unfinished" / "half-written.csv.partial").write_text("test/")
    resumed = measure(classifiers, pictures, tmp_path)
    pd.testing.assert_frame_equal(
        resumed.drop(columns="seconds"), read_results(output).drop(columns="seconds"), check_exact=True
    )
    assert sorted(path.name for path in (tmp_path / "examples").iterdir()) == sorted(
        path.name for path in (output / "examples").iterdir()
    )


def test_measured_chunks_are_not_measured_again(output, classifiers, pictures):
    measurement = RobustnessMeasurement(
        classifiers,
        dataclasses.replace(pictures, batches=None),
        plan=make_plan(config(), image_shape=SHAPE),
        folder=output / "unfinished",
    )
    measurement.run(lambda *_: [])


def test_other_batch_sizes_agree(results, classifiers, pictures, tmp_path):
    larger = dataclasses.replace(pictures, batches=lambda: pictures.batches(NUM_IMAGES), num_batches=1)
    others = measure(classifiers, larger, tmp_path, batch_size=NUM_IMAGES)
    assert (others["success"] == results["success"]).mean() >= 0.999


def test_random_starts_follow_the_seed(classifiers, pictures, tmp_path):
    tables = [
        measure(classifiers[:1], pictures, tmp_path / str(i), protocol="foolbox", seed=seed, epsilons=(0.05,))
        for i, seed in enumerate((0, 0, 1))
    ]
    assert (tables[0]["judged"] == ["none"] * NUM_IMAGES + ["last"] * 2 * NUM_IMAGES).all()
    assert tables[0]["margin_adversarial"].equals(tables[1]["margin_adversarial"])
    assert not tables[0]["margin_adversarial"].equals(tables[2]["margin_adversarial"])


def test_the_linear_model_falls_where_arithmetic_says(pictures, results):
    # Logits 3 x_c of one corner pixel: with Linf epsilon the margin shrinks by 6 epsilon, before clipping.
    rows = results[(results["model"] == "corner") & (results["norm"] == "linf") & results["correct_clean"]]
    images = np.concatenate([batch["image"] for batch in pictures.batches()])
    labels = np.concatenate([batch["label"] for batch in pictures.batches()])
    for row in rows.itertuples():
        place = int(row.image_id[5:9])
        corner, label = images[place, 0, 0].astype(np.float64), labels[place]
        others = np.delete(corner, label)
        reachable = min(1, others.max() + row.epsilon) - max(0, corner[label] - row.epsilon)
        if abs(reachable) > 1e-4:
            assert row.success == (reachable > 0)


def test_examples_hold_what_the_index_says(output, results, pictures):
    names = ["red", "green", "blue", "grey"]
    examples = list_examples(results, folder=output / "examples", class_names=names)
    images = np.concatenate([batch["image"] for batch in pictures.batches()])
    assert len({entry["label"] for entry in examples}) == len({entry["image_id"] for entry in examples}) >= 2
    assert {entry["model"] for entry in examples} == {"made-up", "corner"}
    first_model = results[(results["model"] == "made-up") & (results["attack"] == "none")]
    is_correct = first_model.set_index("image_id")["correct_clean"]
    for entry in examples:
        place = int(entry["image_id"][5:9])
        assert is_correct[entry["image_id"]]
        original, adversarial, difference = (
            np.asarray(Image.open(output / "examples" / entry[kind]), np.float64)
            for kind in ("original", "adversarial", "difference")
        )
        np.testing.assert_array_equal(original, np.round(images[place] * 255))
        perturbation = (difference - 128) / 127 * entry["difference_scale"]
        assert np.abs(perturbation).max() == pytest.approx(entry["linf"], rel=0.01, abs=1e-11)
        # Each saved picture is the perturbed one, rounded; the difference is known to a 254th of its range.
        slack = 0.5 + 255 * entry["difference_scale"] / 254 + 1e-6
        np.testing.assert_allclose(adversarial, original + 255 * perturbation, atol=slack)
        assert entry["class_name"] == names[entry["label"]]
        assert norm_of((adversarial - original)[None] / 255, entry["norm"])[0] >= 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"epsilons": (8.0,)},
            r"--epsilons must be in \[0, 1\]: an epsilon is a fraction .* 8/255 is 0.0314. Received: 8",
        ),
        ({"epsilons": (-0.1,)}, r"--epsilons must be in \[0, 1\].*Received: -0.1"),
        ({"epsilons": (float("nan"),)}, r"--epsilons must be in \[0, 1\].*Received: nan"),
        ({"epsilons_l2": (-1.0,)}, "--epsilons-l2 must be a number of at least 0. Received: -1"),
        (
            {"epsilons_l2": (14.0,)},
            r"--epsilons-l2 must be in \[0, 13.86\]: turning 8 x 8 x 3 .* Received: 14",
        ),
        ({"epsilons_l2": (float("inf"),)}, "--epsilons-l2 must be a number of at least 0. Received: inf"),
        ({"limit": 0}, "--limit must be at least 1"),
        ({"steps": 0}, "--steps must be at least 1"),
        ({"batch_size": -1}, "--batch-size must be at least 1"),
        ({"seed": -1}, "--seed must be in 0 to"),
        ({"input_range": (0.0,)}, "--input-range takes two numbers"),
        ({"input_range": (1.0, 0.0)}, "--input-range takes two numbers, the lower first"),
    ],
)
def test_numbers_out_of_range_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        make_plan(config(**changes), image_shape=SHAPE)


def test_unsorted_epsilons_are_sorted_with_a_note():
    plan = make_plan(config(epsilons=(0.1, 0.01, 0.1)), image_shape=SHAPE)
    assert plan.attacks[0].epsilons == (0.01, 0.1)
    assert plan.notes == ("--epsilons were put in rising order, without repeats: 0.01 0.1.",)


def test_l2_epsilons_have_the_same_root_mean_square():
    plan = make_plan(config(epsilons=(0.001, 0.01)), image_shape=(64, 64, 3))
    # sqrt(64 * 64 * 3) = 110.85
    assert plan.attacks[1].epsilons == (0.11, 1.1)
    given = make_plan(config(epsilons_l2=(0.5,), norms=("l2",)), image_shape=(32, 32, 3))
    assert [attack.epsilons for attack in given.attacks] == [(0.5,)]


@pytest.mark.parametrize(("size", "batch_size"), [(32, 64), (64, 64), (128, 16), (320, 4), (700, 4)])
def test_batches_hold_about_as_many_pixels(size, batch_size):
    assert make_plan(config(batch_size=None), image_shape=(size, size, 3)).batch_size == batch_size


def test_images_that_hold_no_gradient_are_counted(pictures, tmp_path):
    dead = load_classifier(lambda images: tf.nn.relu(images[:, 0, 0] - 0.8))
    table = measure([dead], pictures, tmp_path, epsilons=(0.01,), norms=("linf",))
    attacked = table[(table["attack"] == "pgd") & table["correct_clean"]]
    assert adversarial_table(table)["num_zero_gradient"].iloc[0] == attacked["has_zero_gradient"].sum() > 0
    assert not attacked.loc[attacked["has_zero_gradient"], "success"].any()


def test_a_certain_model_still_has_a_gradient(pictures, tmp_path):
    # Its softmax is 0 and 1 in float32, where the gradient of the plain cross-entropy is exactly 0.
    certain = load_classifier(lambda images: images[:, 0, 0] * 1e6)
    table = measure([certain], pictures, tmp_path, epsilons=(0.5,), norms=("linf",))
    attacked = table[(table["attack"] == "pgd") & table["correct_clean"]]
    assert not attacked["has_zero_gradient"].any()
    assert attacked["success"].mean() > 0.5


# --- attacks by name: lists of attacks, searches, targets, 8 bits ---


class Recorder:
    """Keeps what a writer is given; what is given again stands in place of what was there."""

    def __init__(self):
        self.images = {}
        self.num_written = 0

    def write(self, batch, adversarial_images, *, attack, norm, epsilon):
        for image_id, image in zip(batch["image_id"], adversarial_images, strict=True):
            self.images[str(image_id), attack, norm, epsilon] = image
            self.num_written += 1


def attacked(classifier, pictures, folder, *attacks, recorder=None):
    plan = dataclasses.replace(make_plan(config(), image_shape=SHAPE), attacks=attacks)
    measurement = RobustnessMeasurement([classifier], pictures, plan=plan, folder=folder / "unfinished")
    measurement.run(lambda *_: [] if recorder is None else [recorder])
    measurement.write_table(folder / "results.csv.gz")
    results = read_results(folder)
    return results[results["attack"] != "none"].reset_index(drop=True)


EPSILONS = (0.0, 0.004, 0.008, 0.015)
# The strongest last, so that each has something to add; the random start makes the second one different.
STAGES = {
    "fgsm": AttackRequest("fgsm", epsilons=EPSILONS, relative_step=0.5),
    "pgd-margin": AttackRequest("pgd-margin", epsilons=EPSILONS, num_steps=6, relative_step=0.13),
    "bim": AttackRequest("bim", epsilons=EPSILONS, num_steps=5, relative_step=0.3),
}
UNION = PlannedAttack("union", "linf", tuple(STAGES.values()))


@pytest.fixture(scope="module")
def separate(classifiers, pictures, tmp_path_factory):
    """Each stage of the union alone, on all pictures."""
    attacks = [PlannedAttack(name, "linf", (stage,)) for name, stage in STAGES.items()]
    rows = attacked(classifiers[0], pictures, tmp_path_factory.mktemp("separate"), *attacks)
    return {name: rows[rows["attack"] == name].reset_index(drop=True) for name in STAGES}


@pytest.fixture(scope="module")
def union(classifiers, pictures, tmp_path_factory):
    folder, recorder = tmp_path_factory.mktemp("union"), Recorder()
    return attacked(classifiers[0], pictures, folder, UNION, recorder=recorder), recorder


def test_a_list_of_attacks_is_the_union_of_them_apart(union, separate):
    rows, _ = union
    any_of_them = np.logical_or.reduce([one["success"] for one in separate.values()])
    np.testing.assert_array_equal(rows["success"], any_of_them)
    # Otherwise the test would say nothing: the second and the third add to what came before them.
    fgsm, margin, bim = (one["success"].to_numpy() for one in separate.values())
    assert (margin & ~fgsm).any()
    assert (bim & ~margin & ~fgsm).any()
    assert (~rows["success"] & rows["correct_clean"]).any()


def test_later_attacks_meet_the_survivors_only(union, separate):
    rows, _ = union
    first = separate["fgsm"]
    # What falls to the first attack at an epsilon has made no further steps there.
    fell = first["success"]
    np.testing.assert_array_equal(rows.loc[fell, "steps"], first.loc[fell, "steps"])
    stands = ~rows["success"] & rows["correct_clean"] & (rows["epsilon"] > 0)
    all_steps = sum(one["steps"] for one in separate.values())
    np.testing.assert_array_equal(rows.loc[stands, "steps"], all_steps[stands])


def test_where_nothing_fools_the_row_is_that_of_what_came_closest(union, separate):
    rows, _ = union
    stands = ~rows["success"]
    closest = np.minimum.reduce([one["margin_adversarial"] for one in separate.values()])
    np.testing.assert_allclose(rows.loc[stands, "margin_adversarial"], closest[stands], rtol=1e-5, atol=1e-6)


def test_the_picture_kept_is_that_of_the_row(union, classifiers, pictures):
    rows, recorder = union
    assert len(recorder.images) == NUM_IMAGES * len(EPSILONS)
    originals = {
        str(name): image
        for batch in pictures.batches()
        for name, image in zip(batch["image_id"], batch["image"], strict=True)
    }
    for row in rows.itertuples():
        image = recorder.images[row.image_id, "union", "linf", row.epsilon]
        change = np.abs(image.astype(np.float64) - originals[row.image_id]).max()
        assert change == pytest.approx(row.linf, abs=1e-12)
        assert classifiers[0].logits(image[None]).numpy()[0].argmax() == row.predicted_adversarial


@pytest.mark.parametrize("part", ["stage0-000002", "stage1-000000", "union-linf-0.015-000003"])
def test_killed_between_and_within_the_attacks_of_a_list(
    part, union, classifiers, pictures, tmp_path, monkeypatch
):
    original = robustness.replacing

    def dying(path):
        if part in path.name:
            raise KilledError
        return original(path)

    recorder = Recorder()
    monkeypatch.setattr(robustness, "replacing", dying)
    monkeypatch.setattr(robustness, "SNAPSHOT_SECONDS", 0.0)
    with pytest.raises(KilledError):
        attacked(classifiers[0], pictures, tmp_path, UNION, recorder=recorder)
    monkeypatch.undo()
    resumed = attacked(classifiers[0], pictures, tmp_path, UNION, recorder=recorder)
    rows, uninterrupted = union
    pd.testing.assert_frame_equal(
        resumed.drop(columns="seconds"), rows.drop(columns="seconds"), check_exact=True
    )
    for key, image in uninterrupted.images.items():
        np.testing.assert_array_equal(recorder.images[key], image)


@pytest.mark.parametrize("num_passes", [1, 6, 23])
def test_killed_in_the_middle_of_an_attack_it_goes_on_from_the_snapshot(
    num_passes, classifiers, pictures, separate, tmp_path, monkeypatch
):
    attack = PlannedAttack("pgd-margin", "linf", (STAGES["pgd-margin"],))
    save, saved = robustness.save_engine, []

    def dying(engine, path, *, note):
        save(engine, path, note=note)
        saved.append(engine.statistics.num_passes)
        if len(saved) == num_passes:
            raise KilledError

    monkeypatch.setattr(robustness, "save_engine", dying)
    monkeypatch.setattr(robustness, "SNAPSHOT_SECONDS", 0.0)
    with pytest.raises(KilledError):
        attacked(classifiers[0], pictures, tmp_path, attack)
    monkeypatch.undo()
    engines, make_engine = [], robustness.make_engine
    monkeypatch.setattr(
        robustness, "make_engine", lambda *a, **k: engines.append(make_engine(*a, **k)) or engines[-1]
    )
    resumed = attacked(classifiers[0], pictures, tmp_path, attack)
    pd.testing.assert_frame_equal(
        resumed.drop(columns="seconds"),
        separate["pgd-margin"].drop(columns="seconds"),
        check_exact=True,
    )
    # It counts on from where it was, and so it did not begin anew.
    assert engines[0].statistics.num_images == NUM_IMAGES
    assert engines[0].statistics.num_passes > saved[-1] >= num_passes - 1


def test_least_epsilons_are_certified(classifiers, pictures, tmp_path):
    width, largest = 1e-4, 0.012
    request = AttackRequest(
        "pgd", epsilons=(0.001, largest), least_epsilon_width=width, num_steps=10, relative_step=0.25
    )
    recorder = Recorder()
    rows = attacked(
        classifiers[0], pictures, tmp_path, PlannedAttack("pgd", "linf", (request,)), recorder=recorder
    )
    assert len(rows) == NUM_IMAGES
    wrong_before = rows[~rows["correct_clean"]]
    assert (wrong_before[["epsilon_low", "epsilon_high"]] == 0).all(axis=None)
    fell = rows[rows["success"]]
    withstood = rows[rows["correct_clean"] & ~rows["success"]]
    assert len(fell) >= 5
    assert len(withstood) >= 5
    assert np.isinf(withstood["epsilon_high"]).all()
    assert (withstood[["epsilon_low", "epsilon"]] == largest).all(axis=None)
    assert (fell["epsilon"] == fell["epsilon_high"]).all()
    assert (fell["epsilon_high"] - fell["epsilon_low"]).between(0, width * (1 + 1e-6)).all()
    images = {
        str(name): (image, label)
        for batch in pictures.batches()
        for name, image, label in zip(batch["image_id"], batch["image"], batch["label"], strict=True)
    }
    for row in [*fell.itertuples(), *withstood.itertuples()]:
        image, label = images[row.image_id]
        kept = recorder.images[row.image_id, "pgd", "linf", largest]
        if row.success:
            # Pixels are float32.
            assert np.abs(kept.astype(np.float64) - image).max() <= row.epsilon_high + 6e-8
            assert classifiers[0].logits(kept[None]).numpy().argmax() != label
        again = dataclasses.replace(request, epsilons=(row.epsilon_low,), least_epsilon_width=None)
        at_low = attack_images(
            classifiers[0], image[None], np.array([label]), again, image_ids=[row.image_id], batch_size=8
        )
        assert not at_low.is_fooled.any()


@pytest.mark.parametrize("norm", ["linf", "l2", "rms", "l1"])
def test_a_search_among_8_bit_pictures_succeeds_in_8_bits(norm, classifiers, pictures, tmp_path):
    # In every norm about as far as 3 steps of 255 at every value.
    scale = {"linf": 1, "rms": 1, "l2": 192**0.5, "l1": 192}[norm]
    epsilons = tuple(step / 255 * scale for step in (0.5, 1.5, 3.0))
    request = AttackRequest("pgd", norm, epsilons, is_quantised=True, num_steps=10, relative_step=0.25)
    recorder = Recorder()
    rows = attacked(
        classifiers[0], pictures, tmp_path, PlannedAttack("pgd", norm, (request,)), recorder=recorder
    )
    assert rows["success"].any()
    assert (rows["success"] == rows["success_8bit"]).all()
    for image in recorder.images.values():
        np.testing.assert_array_equal(image, np.round(image * 255).astype(np.float32) / np.float32(255))


def test_a_target_is_reached_or_the_attack_has_failed(classifiers, pictures, tmp_path):
    request = AttackRequest("pgd", epsilons=(0.01, 0.05), num_steps=10, relative_step=0.25, target=1)
    recorder = Recorder()
    rows = attacked(
        classifiers[0], pictures, tmp_path, PlannedAttack("pgd", "linf", (request,)), recorder=recorder
    )
    is_there = rows["label"] == 1
    assert (rows["correct_clean"] & is_there).any()
    assert not rows.loc[is_there, ["success", "success_8bit"]].any(axis=None)
    assert (rows.loc[is_there, ["steps", "linf"]] == 0).all(axis=None)
    others = rows[rows["correct_clean"] & ~is_there]
    assert 0 < others["success"].mean() < 1
    assert (others["success"] == (others["predicted_adversarial"] == 1)).all()
    assert len(recorder.images) == 2 * NUM_IMAGES
    for row in rows.itertuples():
        image = recorder.images[row.image_id, "pgd", "linf", row.epsilon]
        rounded = np.round(image * 255).astype(np.float32) / np.float32(255)
        is_reached = classifiers[0].logits(rounded[None]).numpy().argmax() == 1
        assert row.success_8bit == (is_reached and row.correct_clean and row.label != 1)


def test_the_least_epsilon_to_a_target_is_not_that_of_its_own_class(classifiers, pictures, tmp_path):
    request = AttackRequest(
        "pgd", epsilons=(0.1,), least_epsilon_width=0.01, num_steps=10, relative_step=0.25, target=1
    )
    rows = attacked(classifiers[0], pictures, tmp_path, PlannedAttack("pgd", "linf", (request,)))
    own = rows[rows["correct_clean"] & (rows["label"] == 1)]
    assert (own["epsilon_low"] == 0).all()
    assert np.isinf(own["epsilon_high"]).all()
    table = least_epsilon_table(rows)
    assert table["num_images"].iloc[0] == rows["correct_clean"].sum() - len(own)


def test_progress_ends_at_the_end_also_after_a_kill(classifiers, pictures, tmp_path, monkeypatch):
    counted = []

    class Bar:
        def __init__(self, *, total, **_):
            counted.append([0, total])

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def update(self, number):
            counted[-1][0] += number

        def set_description(self, text):
            del text

        def set_postfix_str(self, text, **_):
            del text

    def dying(engine, path, *, note):
        save(engine, path, note=note)
        if note["num_chunks"] >= 1:
            raise KilledError

    save = robustness.save_engine
    attacks = [
        PlannedAttack("fgsm", "linf", (STAGES["fgsm"],)),
        PlannedAttack("foolbox:FGSM", "linf", (FoolboxRequest("FGSM", (), "linf", EPSILONS),)),
    ]
    monkeypatch.setattr(robustness, "tqdm", Bar)
    monkeypatch.setattr(robustness, "SNAPSHOT_SECONDS", 0.0)
    monkeypatch.setattr(robustness, "save_engine", dying)
    with pytest.raises(KilledError):
        attacked(classifiers[0], pictures, tmp_path, *attacks)
    monkeypatch.setattr(robustness, "save_engine", save)
    attacked(classifiers[0], pictures, tmp_path, *attacks)
    assert 0 < counted[0][0] < counted[0][1]
    assert counted[1] == [3 * NUM_IMAGES, 3 * NUM_IMAGES]
