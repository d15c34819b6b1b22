"""The output folder: what is refused, what is deleted, and who holds it."""

import json

import pytest

from bioattack.errors import InputError
from bioattack.evaluation.reproduce.opening import open_workplace


def test_a_new_folder_says_with_what_it_was_made(configure):
    config = configure()
    with open_workplace(config, needs_records=True) as workplace:
        assert workplace.pictures.num_classes == 3
    settings = json.loads((config.output / "settings.json").read_text())
    assert settings["preset"] == "demo"
    assert len(settings["records"]) == 64


def test_what_needs_no_pictures_opens_none(configure):
    config = configure(data=None)
    with (
        open_workplace(config, needs_records=False) as workplace,
        pytest.raises(ValueError, match="records must be open"),
    ):
        _ = workplace.pictures
    # Another experiment may still bring its own.
    with open_workplace(configure(), needs_records=True) as workplace:
        assert workplace.pictures.num_classes == 3


def test_the_demonstration_draws_its_own_pictures_and_goes_on_with_them(configure, monkeypatch):
    config = configure(data=None)
    small = {"num_train": 10, "num_test": 10, "image_size": 16}
    from bioattack.evaluation.reproduce import config as module

    scale = module.dataclasses.replace(module.SCALES["demo"], **small)
    monkeypatch.setitem(module.SCALES, "demo", scale)
    for _ in range(2):
        with open_workplace(config, needs_records=True) as workplace:
            assert workplace.pictures.image_shape == (16, 16, 3)
            assert workplace.data == config.output / "records"


def other_file(config):
    config.output.mkdir()
    (config.output / "thesis.txt").touch()


def damaged(config):
    config.output.mkdir()
    (config.output / "settings.json").write_text("{")


def a_file(config):
    config.output.touch()


def other_pictures(config):
    config.output.mkdir()
    (config.output / "settings.json").write_text(json.dumps({"records": "abc"}))


REFUSED = {
    "is not empty and holds no reproduction; give the name of a new folder": other_file,
    "is damaged; give --overwrite to start again": damaged,
    "is not a folder; give the name of a new one": a_file,
    "was made with records = abc before and ": other_pictures,
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_folder_of_something_else_is_refused(configure, message):
    config = configure()
    REFUSED[message](config)
    with pytest.raises(InputError, match=message), open_workplace(config, needs_records=True):
        pass


def test_real_presets_need_real_pictures(configure):
    config = configure(data=None, preset="small")
    message = "--data: the preset small needs real pictures; give a folder made by bioattack-build-records"
    with pytest.raises(InputError, match=message), open_workplace(config, needs_records=True):
        pass


def test_overwrite_deletes_what_is_ours_and_nothing_else(configure):
    config = configure()
    with open_workplace(config, needs_records=True):
        (config.output / "runs").mkdir()
        (config.output / "thesis.txt").touch()
    with open_workplace(configure(overwrite=True, epochs=2), needs_records=True):
        assert sorted(path.name for path in config.output.iterdir()) == ["settings.json", "thesis.txt"]


def test_one_process_at_a_time(configure):
    with (
        open_workplace(configure(), needs_records=True),
        pytest.raises(InputError, match="another process is writing into"),
        open_workplace(configure(), needs_records=True),
    ):
        pass
