"""The adversarial dataset against the algorithm written out, and against kills."""

import dataclasses
import json
import re

import numpy as np
import pytest

from bioattack.errors import InputError
from bioattack.files import only_writer
from bioattack.testing.small_dro import LEARNING_RATE, linear_model, read_all, small_dro_plan
from bioattack.tfrecords_builder.drawing import draw_places
from bioattack.tfrecords_builder.reading import open_records
from bioattack.tfrecords_builder.verify import verify
from bioattack.training import dataset_chunks
from bioattack.training import dro_maker as module
from bioattack.training.dro_dataset import dro_dataset, read_summary, sweep_distance_weight
from bioattack.training.run import make_repeatable


@pytest.fixture(autouse=True, scope="module")
def _repeatable():
    make_repeatable(0)


@pytest.fixture(scope="module")
def records(small_records):
    return open_records(small_records)


def softmax(logits):
    shares = np.exp(logits - logits.max())
    return shares / shares.sum()


class WrittenOut:
    """Algorithm 4.1 in NumPy, picture by picture, on a linear model: batches of one, Adam, distance L2."""

    def __init__(self, model, options):
        self.kernel, self.bias = (np.float64(weight) for weight in model.get_weights())
        self.options = options
        self.first = [np.zeros_like(self.kernel), np.zeros(3)]
        self.second = [np.zeros_like(self.kernel), np.zeros(3)]
        self.count = 0

    def learn(self, image, label, share):
        error = share * (softmax(image.ravel() @ self.kernel + self.bias) - np.eye(3)[label])
        self.count += 1
        gradients = [np.outer(image.ravel(), error), error]
        for place, (values, gradient) in enumerate(zip((self.kernel, self.bias), gradients, strict=True)):
            self.first[place] = 0.9 * self.first[place] + 0.1 * gradient
            self.second[place] = 0.999 * self.second[place] + 0.001 * gradient**2
            rate = LEARNING_RATE * np.sqrt(1 - 0.999**self.count) / (1 - 0.9**self.count)
            values -= rate * self.first[place] / (np.sqrt(self.second[place]) + 1e-7)

    def attack(self, image, label, origin):
        """Algorithm 3.1: stop as soon as the margin is above a, else a step of the given length."""
        for step in range(self.options.num_steps + 1):
            logits = image.ravel() @ self.kernel + self.bias
            if np.delete(logits, label).max() - logits[label] > self.options.confidence:
                break
            if step == self.options.num_steps:
                break
            gradient = (self.kernel @ (softmax(logits) - np.eye(3)[label])).reshape(image.shape)
            away = image - origin
            # The distance has no gradient at its own reference.
            if step and np.linalg.norm(away):
                gradient = gradient - self.options.distance_weight * away / np.linalg.norm(away)
            image = image + self.options.step_length * gradient / np.linalg.norm(gradient)
            image = np.clip(image, 0, 1)
        return image, step

    def run(self, images, labels, *, seed):
        images, labels = list(np.float64(images)), list(labels)
        num_clean, weights, origins = len(images), [1.0] * len(images), list(range(len(images)))
        steps = []
        for number in range(1, self.options.rounds + 1):
            now = np.array(weights)
            drawn = draw_places(now, num_clean, seeds=(seed, 1, number))
            scale = (now**2).sum() / now.sum()
            for i, place in enumerate(drawn, start=1):
                self.learn(images[place], labels[place], now[place] / scale)
                origin = origins[place]
                attacked, count = self.attack(images[place], labels[place], images[origin])
                images.append(attacked)
                labels.append(labels[place])
                origins.append(origin)
                weights.append((number - 1) * num_clean + i)
                steps.append(count)
        return np.array(images), np.array(weights), origins, steps


@pytest.mark.parametrize("confidence", [0.0, 2.0])
def test_batches_of_one_are_the_printed_algorithm(confidence, records, tmp_path):
    plan = small_dro_plan(batch_size=1, confidence=confidence, distance_weight=0.05)
    model = linear_model()
    dro_dataset(model, plan, records=records, folder=tmp_path)
    weighted, images, labels, provenance = read_all(tmp_path)
    written_out = WrittenOut(linear_model(), plan.training_options)
    expected, weights, origins, steps = written_out.run(images[:12], labels[:12], seed=0)
    assert [one.num_steps for one in provenance[12:]] == steps
    assert len(set(steps)) > 1
    np.testing.assert_allclose(images, expected, atol=2e-4)
    np.testing.assert_array_equal(weighted.weights, weights)
    np.testing.assert_array_equal(weighted.index["origin"], origins)
    distances = np.linalg.norm((expected - expected[origins]).reshape(36, -1), axis=1)
    np.testing.assert_allclose([one.cost for one in provenance], distances, atol=2e-3)


def test_folder_can_be_read_by_everyone_and_says_where_all_comes_from(records, tmp_path):
    plan, model = small_dro_plan(), linear_model()
    before = model.get_weights()
    summary = dro_dataset(model, plan, records=records, folder=tmp_path)
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    assert verify(tmp_path) == []
    opened = open_records(tmp_path)
    assert (opened.num_examples("train"), opened.class_names) == (36, records.class_names)
    assert sum(opened.manifest.splits["train"].per_class) == 36
    weighted, images, _, provenance = read_all(tmp_path)
    names = [one.origin_id for one in provenance]
    assert names[12:] == [names[origin] for origin in weighted.index["origin"][12:]]
    assert [one.round for one in provenance] == [0] * 12 + [1] * 12 + [2] * 12
    assert [one.weight for one in provenance] == weighted.weights.tolist() == [1] * 12 + list(range(1, 25))
    assert [one.step for one in provenance[12:24]] == [1] * 4 + [2] * 4 + [3] * 4
    assert json.loads(provenance[-1].attack)["distance"] == "l2"
    seen = next(iter(opened.dataset("train", batch_size=36)))[0].numpy()
    # What every reader shows is the picture in 8 bits; what is learned from is not.
    assert 0 < np.abs(seen - images).max() <= 0.5 / 255 + 1e-6
    last = summary["rounds"][-1]
    costs = np.array([one.cost for one in provenance])
    assert last["implied_radius"] == pytest.approx(costs[24:].mean(), rel=1e-5)
    assert summary["weighted_cost"] == pytest.approx(np.average(costs, weights=weighted.weights), rel=1e-5)
    assert last["robust_surrogate"] == pytest.approx(last["worst_case_loss"] - last["mean_cost"])
    assert read_summary(tmp_path) == summary
    assert dro_dataset(model, plan, records=records, folder=tmp_path) == summary


class Killed(BaseException):
    """Stands for a kill: nothing in the project catches it."""


def kill_at(monkeypatch, place, name, number):
    """Lets a function work ``number`` times, and ends the process, so to speak, before the next."""
    original, calls = getattr(place, name), []

    def counted(*arguments, **options):
        calls.append(name)
        if len(calls) > number:
            raise Killed
        return original(*arguments, **options)

    monkeypatch.setattr(place, name, counted)


@pytest.mark.slow
def test_kills_change_nothing(records, tmp_path, monkeypatch):
    monkeypatch.setattr(dataset_chunks, "_CHUNK_RECORDS", 8)
    plan, whole, killed = small_dro_plan(), tmp_path / "whole", tmp_path / "killed"
    summary = dro_dataset(linear_model(), plan, records=records, folder=whole)
    moments = [
        (module, "clean_record", 10),
        (module.DatasetMaker, "_learn", 1),
        (module, "attacked_record", 9),
        (dataset_chunks, "save_index", 1),
        (module, "save_state", 1),
        (module, "write_manifest", 0),
    ]
    for place, name, number in moments:
        with monkeypatch.context() as patch:
            kill_at(patch, place, name, number)
            with pytest.raises(Killed):
                dro_dataset(linear_model(), plan, records=records, folder=killed)
        assert not (killed / "manifest.json").exists()
    again = dro_dataset(linear_model(), plan, records=records, folder=killed)
    files = sorted(path.name for path in whole.iterdir())
    assert files == sorted(path.name for path in killed.iterdir())
    for name in set(files) - {"summary.json"}:
        assert (whole / name).read_bytes() == (killed / name).read_bytes(), name

    def timeless(made):
        rounds = [one | {"seconds": 0} for one in made["rounds"]]
        return made | {"seconds": 0, "rounds": rounds}

    assert timeless(again) == timeless(summary)


def test_half_written_shard_is_named(records, tmp_path, monkeypatch):
    plan = small_dro_plan()
    with monkeypatch.context() as patch:
        kill_at(patch, module, "write_manifest", 0)
        with pytest.raises(Killed):
            dro_dataset(linear_model(), plan, records=records, folder=tmp_path)
    shard = tmp_path / "train-00001-of-00003.tfrecord"
    shard.write_bytes(shard.read_bytes()[:100])
    message = f"the adversarial shard {shard} is missing or half-written; remove {tmp_path} and give the same"
    with pytest.raises(InputError, match=re.escape(message)):
        dro_dataset(linear_model(), plan, records=records, folder=tmp_path)


def test_other_settings_other_writers_and_other_folders_are_refused(records, tmp_path):
    plan, folder = small_dro_plan(limit=4), tmp_path / "dataset"
    dro_dataset(linear_model(), plan, records=records, folder=folder)
    other = dataclasses.replace(plan, training_options=dataclasses.replace(plan.training_options, rounds=3))
    with pytest.raises(InputError, match="holds an adversarial dataset with rounds = 2 before and 3 now;"):
        dro_dataset(linear_model(), other, records=records, folder=folder)
    model = linear_model()
    model.set_weights([2 * weight for weight in model.get_weights()])
    with pytest.raises(InputError, match=r"with initial_weights_sha256 = .* before and .* now"):
        dro_dataset(model, plan, records=records, folder=folder)
    with only_writer(folder), pytest.raises(InputError, match="another process is writing into"):
        dro_dataset(linear_model(), plan, records=records, folder=folder)
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "letter.txt").touch()
    with pytest.raises(InputError, match="is not empty and holds no adversarial dataset"):
        dro_dataset(linear_model(), plan, records=records, folder=tmp_path / "else")


def test_loss_that_is_not_finite_stops_it(records, tmp_path):
    model = linear_model()
    model.set_weights([np.full_like(weight, np.inf) for weight in model.get_weights()])
    with pytest.raises(InputError, match=r"the loss became nan at step 1 of 3 in a round .* below 0\.01"):
        dro_dataset(model, small_dro_plan(), records=records, folder=tmp_path)


@pytest.mark.slow
def test_sweep_draws_loss_against_radius(records, tmp_path):
    plan = small_dro_plan(limit=8, rounds=1)
    plan = dataclasses.replace(plan, config=dataclasses.replace(plan.config, learning_rate=1e-9))
    weights = (0.0, 0.3, 100.0)
    points = sweep_distance_weight(linear_model(), plan, weights, records=records, folder=tmp_path)
    assert [point.distance_weight for point in points] == list(weights)
    radii = [point.implied_radius for point in points]
    # Equation 3.2: the dearer the distance, the smaller the radius, and the smaller the loss that it allows.
    assert radii[0] >= radii[1] > radii[2]
    assert points[0].worst_case_loss >= points[1].worst_case_loss > points[2].worst_case_loss
    pgd = small_dro_plan(attack="pgd")
    with pytest.raises(InputError, match="a sweep over lambda needs the attack lagrangian"):
        sweep_distance_weight(linear_model(), pgd, weights, records=records, folder=tmp_path)
