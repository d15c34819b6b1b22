import re

import numpy as np
import pytest
import tensorflow as tf

from bioattack.distances.pieapp import PieApp
from bioattack.distances.pieapp_network import PUBLISHED_DESIGN, PieAppDesign
from bioattack.distances.pieapp_weights import load_pieapp_weights, save_pieapp_weights
from bioattack.testing.made_up_pieapp import (
    NARROW_DESIGN,
    as_official_torch_arrays,
    numpy_patch_values,
    random_pieapp_weights,
    write_official_checkpoint,
)
from bioattack.testing.written_torch_files import write_torch_file


def official_files(folder, design):
    """The same network in both official formats. TensorFlow's has no scale of the score: it is made 1."""
    weights = random_pieapp_weights(design)
    weights.arrays["reference/scale"][:] = 1
    torch = write_torch_file(folder / "PieAPPv0.1.pth", as_official_torch_arrays(weights))
    return weights, torch, write_official_checkpoint(folder / "PieAPP_model_v0.1.ckpt", weights)


def check_both_formats(folder, design):
    weights, torch, checkpoint = official_files(folder, design)
    random = np.random.default_rng(1)
    reference = random.uniform(size=(1, 64, 64, 3))
    images = np.clip(reference + 0.1 * random.normal(size=reference.shape), 0, 1)
    wanted = numpy_patch_values(weights, reference[0], images[0])[0]
    for path, has_relu in ((torch, False), (checkpoint, True)):
        loaded = load_pieapp_weights(path, design=design)
        assert loaded.relu_after_weight is has_relu
        for name, value in weights.arrays.items():
            np.testing.assert_array_equal(loaded.arrays[name], value, err_msg=name)
        score = PieApp(loaded).score(np.float32(reference), np.float32(images))
        np.testing.assert_allclose(score, [wanted], rtol=1e-4)


def test_both_official_formats_give_the_same_score(tmp_path):
    check_both_formats(tmp_path, NARROW_DESIGN)


@pytest.mark.slow
def test_both_official_formats_give_the_same_score_at_the_published_size(tmp_path):
    assert PUBLISHED_DESIGN.shapes()["fc1_score/kernel"] == (120832, 512)
    check_both_formats(tmp_path, PUBLISHED_DESIGN)


def test_names_and_shapes_of_the_published_design():
    # As the files of version 0.1 have them; 68.4 million numbers.
    arrays = {name: np.empty(shape, np.float16) for name, shape in PUBLISHED_DESIGN.shapes().items()}
    assert sum(array.size for array in arrays.values()) == 68_376_580
    assert PUBLISHED_DESIGN.shapes()["fc1_weight/kernel"] == (2048, 512)
    assert [side * side * channels for side, channels in PUBLISHED_DESIGN.taps] == [
        65536,
        32768,
        16384,
        4096,
        2048,
    ]


def test_own_files_say_their_design_themselves(tmp_path):
    design = PieAppDesign((3, 4, 2, 3, 2, 3, 4, 3, 2, 4, 3), 5, first_stride=2)
    weights = random_pieapp_weights(design, relu_after_weight=True)
    save_pieapp_weights(tmp_path / "own.npz", weights)
    loaded = load_pieapp_weights(tmp_path / "own.npz")
    assert (loaded.design, loaded.relu_after_weight) == (design, True)
    for name, value in weights.arrays.items():
        np.testing.assert_array_equal(loaded.arrays[name], value)


def test_the_reference_weight_of_either_shape_is_taken(tmp_path):
    arrays = as_official_torch_arrays(random_pieapp_weights(NARROW_DESIGN))
    arrays["ref_score_subtract.weight"] = arrays["ref_score_subtract.weight"].reshape(1, 1).copy()
    path = write_torch_file(tmp_path / "weights.pth", arrays)
    assert load_pieapp_weights(path, design=NARROW_DESIGN).arrays["reference/scale"].shape == (1,)


def _without(name):
    return lambda arrays: arrays.pop(name)


def _replaced(name, value):
    return lambda arrays: arrays.update({name: value})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without("conv3.bias"), "it lacks conv3.bias"),
        (
            _replaced("conv3.weight", np.zeros((2, 3, 5, 5), np.float32)),
            "conv3/kernel must have the shape (3, 3, 3, 2). Received: shape (5, 5, 3, 2)",
        ),
        (
            _replaced("fc1_score.weight", np.zeros((6, 7), np.float32)),
            f"fc1_score/kernel must have the shape ({NARROW_DESIGN.num_compared}, 6). Received: shape (7, 6)",
        ),
        (_replaced("fc2_score.bias", np.float32([np.nan])), "fc2_score/bias must be finite everywhere"),
    ],
)
def test_wrong_files_are_refused_in_one_sentence(damage, message, tmp_path):
    arrays = as_official_torch_arrays(random_pieapp_weights(NARROW_DESIGN))
    damage(arrays)
    path = write_torch_file(tmp_path / "weights.pth", arrays)
    with pytest.raises(ValueError, match=re.escape(f"{path} holds no weights of PieAPP: {message}")):
        load_pieapp_weights(path, design=NARROW_DESIGN)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "other.ckpt"), tensor_names=["a"], shape_and_slices=[""], tensors=[tf.ones(2)]
    )
    with pytest.raises(ValueError, match="holds no weights of PieAPP: it lacks conv1/weights"):
        load_pieapp_weights(tmp_path / "other.ckpt")


def test_an_archive_of_another_model_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.ones(2))
    with pytest.raises(ValueError, match="holds no weights of PieAPP: it lacks first_stride"):
        load_pieapp_weights(tmp_path / "other.npz")


@pytest.mark.parametrize("name", ["none.pth", "none.ckpt", "none.npz", "none"])
def test_a_missing_file_is_named(name, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"there is no .*{name}"):
        load_pieapp_weights(tmp_path / name)
