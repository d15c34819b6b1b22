import errno
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bioattack.attacks.engine import rounded_to_8_bits
from bioattack.evaluation.saved_images import PictureWriter, image_folder, image_path

ATTACK = {"attack": "pgd", "norm": "linf", "epsilon": 0.1}


def write(folder, images, names):
    writer = PictureWriter(folder, model="m")
    writer.write({"image_id": np.array(names)}, images, **ATTACK)
    return image_folder(folder, model="m", **ATTACK)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_saved_picture_is_the_one_that_was_judged_in_8_bits(channels, tmp_path):
    images = np.random.default_rng(0).uniform(0, 1, (3, 5, 4, channels)).astype(np.float32)
    # On both bounds, and right between two levels.
    images[0, 0, 0], images[0, 0, 1], images[0, 0, 2] = 0.0, 1.0, 127.5 / 255
    folder = write(tmp_path, images, ["a.png", "b.png", "c.png"])
    for image, name in zip(rounded_to_8_bits(images), "abc", strict=True):
        with Image.open(folder / f"{name}.png") as file:
            assert file.mode == ("L" if channels == 1 else "RGB")
            levels = np.asarray(file).reshape(image.shape)
        np.testing.assert_array_equal(levels.astype(np.float32) / np.float32(255), image)


@pytest.mark.parametrize(
    ("image_id", "path"),
    [
        ("test/bee/0001.png", "test/bee/0001.png"),
        ("test/bee/0001.jpg", "test/bee/0001.jpg.png"),
        ("test/0017", "test/0017.png"),
        ("../../etc/passwd", "etc/passwd.png"),
        ("/etc/passwd", "etc/passwd.png"),
        ("a/./b.png", "a/b.png"),
        ("une abeille à Köln.png", "une abeille à Köln.png"),
    ],
)
def test_every_name_stays_in_the_folder(image_id, path):
    assert image_path(Path("images"), image_id) == Path("images") / path


def test_models_attacks_and_epsilons_have_folders_of_their_own():
    folders = {
        image_folder(Path("i"), model=model, attack=attack, norm=norm, epsilon=epsilon)
        for model in ("a", "b")
        for attack in ("pgd", "foolbox:PGD")
        for norm in ("linf", "l2")
        for epsilon in (1 / 255, 0.1)
    }
    assert len(folders) == 16
    assert Path("i/a/foolbox-PGD-linf-0.00392156862745098") in folders


def test_written_again_it_is_replaced(tmp_path):
    images = np.zeros((1, 2, 2, 3), np.float32)
    folder = write(tmp_path, images, ["a.png"])
    (folder / "a.png.partial").write_bytes(b"half a picture")  # what a killed run leaves
    write(tmp_path, images + 1, ["a.png"])
    with Image.open(folder / "a.png") as file:
        assert np.asarray(file).min() == 255
    assert [path.name for path in folder.iterdir()] == ["a.png"]


def test_a_full_disk_is_an_error_that_names_the_file_and_leaves_none(tmp_path, monkeypatch):
    def save(self, path, **_):
        del self
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", save)
    with pytest.raises(OSError, match=r"No space left on device.*a\.png") as caught:
        write(tmp_path, np.zeros((1, 2, 2, 3), np.float32), ["a.png"])
    assert caught.value.errno == errno.ENOSPC
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
