import re

import pytest

from bioattack.errors import InputError
from bioattack.training.adversarial_folder import SETTINGS, check_settings, open_dataset, refuse_several


def test_settings_are_noted_once_and_compared_ever_after(tmp_path):
    (tmp_path / "settings.json.partial").touch()
    check_settings(tmp_path, {"rounds": 2, "epsilon": 0.1})
    before = (tmp_path / SETTINGS).read_bytes()
    check_settings(tmp_path, {"epsilon": 0.1, "rounds": 2})
    assert (tmp_path / SETTINGS).read_bytes() == before
    message = "with rounds = 2 before and 3 now, seed = none before and 1 now; repeat its settings"
    with pytest.raises(InputError, match=re.escape(message)):
        check_settings(tmp_path, {"rounds": 3, "seed": 1, "epsilon": 0.1})
    (tmp_path / SETTINGS).write_text("{")
    with pytest.raises(InputError, match=re.escape(f"remove {tmp_path} and start again")):
        check_settings(tmp_path, {"rounds": 2})


def test_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match="is not empty and holds no adversarial dataset"):
        check_settings(tmp_path, {})
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_unfinished_and_foreign_folders_are_told_apart(tmp_path):
    with pytest.raises(InputError, match="is no adversarial dataset; give the adversarial_records/ folder"):
        open_dataset(tmp_path, kind="dro", records=None)
    check_settings(tmp_path, {})
    with pytest.raises(InputError, match="is unfinished; give the command that makes it again"):
        open_dataset(tmp_path, kind="dro", records=None)


def test_one_machine_makes_a_dataset():
    refuse_several((0, 1))
    with pytest.raises(InputError, match="make the adversarial dataset on one of them first"):
        refuse_several((1, 2))
