"""What is compared in the second paper: attacks, distances, sizes, and what is attacked."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from bioattack.errors import InputError
from bioattack.evaluation.reproduce.config import ReproduceConfig
from bioattack.evaluation.reproduce.imperceptible_attacks import contenders, find_cost, our_request
from bioattack.evaluation.reproduce.imperceptible_judges import LPIPS_HEADS, SQUEEZENET_WEIGHTS, find_judges
from bioattack.evaluation.reproduce.imperceptible_sizes import SIZES, sizes_of
from bioattack.evaluation.reproduce.imperceptible_subject import (
    MOBILENET_WEIGHTS,
    open_subject,
    train_network,
)
from bioattack.evaluation.reproduce.workplace import Workplace
from bioattack.testing.small_records import write_small_records
from bioattack.tfrecords_builder.reading import open_records


@pytest.fixture
def make_workplace(tmp_path):
    def make(**changes):
        given = {"name": "table3.1", "output": tmp_path / "out", "quiet": True} | changes
        config = ReproduceConfig(**given)
        config.output.mkdir(exist_ok=True)
        return Workplace(config, config.scale())

    return make


def test_the_attacks_are_the_papers_with_its_settings():
    found = {one.key: one for one in contenders(SIZES["paper"], find_cost(None))}
    own = found.pop("ours-0-8bit")
    assert list(found) == ["perc-al", "pgd", "ppgd", "lpa", "ours-0", "ours-1", "ours-5"]
    assert own.request == dataclasses.replace(found["ours-0"].request, is_quantised=True)
    assert not own.published
    # Hua et al. 2022, section 3.2: N = 100, epsilon = 0.1, lambda = 1, a in {0, 1, 5}.
    for confidence in (0, 1, 5):
        request = found[f"ours-{confidence}"].request
        assert (request.num_steps, request.step_length, request.distance_weight) == (100, 0.1, 1.0)
        assert request.confidence == confidence
    assert (found["pgd"].request.num_steps, found["pgd"].request.step_length) == (100, 0.1)
    assert found["perc-al"].request.num_steps == 1000
    assert found["ours-0"].published["lpips"] == 7.30
    assert found["ours-5"].published["l1"] == 3925.55
    assert found["ppgd"].published["rate"] == 95.75
    assert found["lpa"].saliency == {"l1": 522.03, "l2": 5.34, "linf": 0.188, "ssim": 0.036}


def test_no_attack_keeps_small_what_it_is_compared_by(make_workplace):
    judges = find_judges(make_workplace(), image_shape=(299, 299, 3)).by_name
    assert list(judges) == ["ms-ssim"]
    optimised = {one.request.norm for one in contenders(SIZES["demo"], find_cost(None))}
    assert optimised == {"ciede2000", "none", "nptm", "pieapp-mini"}
    assert not optimised & set(judges)


def test_small_pictures_are_judged_by_what_fits_them(make_workplace):
    panel = find_judges(make_workplace(), image_shape=(96, 96, 3))
    assert list(panel.by_name) == ["ssim"]
    assert panel.chosen("lpips", "ssim").title == "1 - SSIM"
    assert len(panel.missing) == 2
    assert LPIPS_HEADS in panel.missing[0]


def test_damaged_weights_are_one_sentence(make_workplace, tmp_path):
    (tmp_path / SQUEEZENET_WEIGHTS).write_text("nothing")
    with pytest.raises(InputError, match="--weights: ") as error:
        find_judges(make_workplace(weights=tmp_path), image_shape=(96, 96, 3))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["weights", "saliency"])
def test_a_folder_that_is_not_there_is_refused(name, tmp_path):
    with pytest.raises(InputError, match=f"--{name}: .*nowhere is not a folder"):
        ReproduceConfig("table3.1", tmp_path / "out", **{name: tmp_path / "nowhere"})


def test_published_pieapp_weights_are_preferred(tmp_path):
    assert find_cost(tmp_path).name == "pieapp-mini"
    (tmp_path / "PieAPPv0.1.pth").touch()
    cost = find_cost(tmp_path)
    assert (cost.name, cost.options) == ("pieapp", (("weights", str(tmp_path / "PieAPPv0.1.pth")),))
    request = our_request(SIZES["demo"], cost, weight=10.0)
    assert (request.distance, request.distance_weight) == ("pieapp", 10.0)


def test_a_limit_holds_for_all_attacks(tmp_path):
    sizes = sizes_of(ReproduceConfig("table3.1", tmp_path, preset="paper", limit=5))
    assert (sizes.num_pictures, sizes.num_rival_pictures, sizes.num_ablated) == (5, 5, 5)
    demo = sizes_of(ReproduceConfig("table3.1", tmp_path, limit=1000, epochs=1))
    assert (demo.num_rival_pictures, demo.epochs) == (SIZES["demo"].num_rival_pictures, 1)


def test_real_presets_need_real_pictures(make_workplace):
    with pytest.raises(InputError, match=r"the preset small needs real pictures; give a \.zip of ImageNet"):
        open_subject(make_workplace(preset="small"))


def test_pictures_without_a_training_split_cannot_be_trained_on(make_workplace, tmp_path):
    folder = write_small_records(tmp_path / "records", num_train=0)
    with pytest.raises(InputError, match="are of 3 classes and have no split 'train'; give such records"):
        train_network(
            make_workplace(),
            "label",
            model="resnet18",
            records=open_records(folder),
            options={},
            sizes=SIZES["demo"],
        )


def imagenet_like(folder):
    """Records that say they have 1,000 classes."""
    manifest = json.loads((write_small_records(folder) / "manifest.json").read_text())
    manifest["class_names"] = [f"class {place}" for place in range(1000)]
    for split in manifest["splits"].values():
        split["per_class"] += [0] * 997
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_without_weights_and_without_a_network_it_says_what_it_takes(make_workplace, tmp_path, monkeypatch):
    def unreachable(*_, **__):
        raise OSError("no route")

    monkeypatch.setattr(keras.applications, "ResNet50", unreachable)
    with pytest.raises(InputError, match=f"--weights names no folder with {MOBILENET_WEIGHTS}"):
        open_subject(make_workplace(data=imagenet_like(tmp_path / "records")))


def test_a_keras_network_sees_the_pictures_as_it_was_trained(make_workplace, tmp_path, monkeypatch):
    asked = []

    def little(*, weights, input_shape, **_):
        asked.append((weights, input_shape))
        pictures = keras.Input(input_shape)
        means = keras.layers.GlobalAveragePooling2D()(pictures)
        return keras.Model(pictures, keras.layers.Dense(1000, kernel_initializer="ones")(means))

    monkeypatch.setattr(keras.applications, "ResNet50", little)
    subject = open_subject(make_workplace(data=imagenet_like(tmp_path / "records")))
    assert asked == [("imagenet", (224, 224, 3)), (None, (16, 16, 3))]
    images = np.random.default_rng(0).random((2, 16, 16, 3), dtype=np.float32)
    seen = keras.applications.resnet50.preprocess_input(255 * images.astype(float))
    expected = seen.mean(axis=(1, 2)).sum(axis=1)
    np.testing.assert_allclose(subject.classifier.logits(images)[:, 0], expected, rtol=1e-4)


def test_wrong_weights_are_refused(make_workplace, tmp_path):
    np.savez(tmp_path / MOBILENET_WEIGHTS, **{"Conv1/kernel": np.zeros((3, 3, 3, 7), "float32")})
    with pytest.raises(InputError, match=r"--weights: .*array Conv1/kernel has shape \(3, 3, 3, 7\)"):
        open_subject(make_workplace(data=imagenet_like(tmp_path / "records"), weights=tmp_path))
