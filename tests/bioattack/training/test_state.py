import keras
import numpy as np
import pytest

from bioattack.errors import InputError
from bioattack.training.state import EpochState, restore_newest, save_state, saved_states


def state_of(epoch):
    history = tuple({"epoch": done + 1, "loss": 1 / (done + 3)} for done in range(epoch))
    return EpochState(epoch=epoch, history=history, identity={"data": "abc", "initial_weights": None})


def make_variables(value=0.0):
    return [
        keras.Variable(np.full((2, 3), value, "float32")),
        keras.Variable(np.array([value, 7], "uint32"), dtype="uint32", trainable=False),
        keras.Variable(np.array(value, "int64"), dtype="int64", trainable=False),
    ]


def test_state_comes_back_exactly(tmp_path):
    written, read = make_variables(3.0), make_variables()
    written[0].assign(np.array([[0.1, np.pi, 1e-30], [-0.0, 2.0, 3e38]], "float32"))
    save_state(tmp_path, state_of(4), variables=written)
    assert restore_newest(tmp_path, variables=read) == state_of(4)
    for one, other in zip(written, read, strict=True):
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()
        assert one.dtype == other.dtype


def test_newest_two_are_kept(tmp_path):
    for epoch in range(1, 12):
        save_state(tmp_path, state_of(epoch), variables=make_variables(epoch))
    assert [path.name for path in saved_states(tmp_path)] == ["epoch-00010.npz", "epoch-00011.npz"]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_damaged_newest_falls_back_to_the_one_before(tmp_path, damage):
    save_state(tmp_path, state_of(1), variables=make_variables(1))
    path = save_state(tmp_path, state_of(2), variables=make_variables(2))
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        del content[len(content) // 2 :]
    elif damage == "empty":
        content.clear()
    else:
        content[content.index(np.float32(2).tobytes() * 6)] ^= 1
    path.write_bytes(content)
    variables = make_variables()
    assert restore_newest(tmp_path, variables=variables).epoch == 1
    assert float(np.asarray(variables[0]).mean()) == 1


def test_nothing_to_go_on_from(tmp_path):
    assert restore_newest(tmp_path, variables=make_variables()) is None


@pytest.mark.parametrize("change", ["fewer", "shape"])
def test_state_of_another_network_is_refused(tmp_path, change):
    save_state(tmp_path, state_of(1), variables=make_variables(1))
    variables = make_variables()
    if change == "fewer":
        del variables[-1]
    else:
        variables[0] = keras.Variable(np.zeros((3, 2), "float32"))
    with pytest.raises(InputError, match="holds another network or optimizer"):
        restore_newest(tmp_path, variables=variables)


def test_failed_write_keeps_what_was_there(tmp_path, monkeypatch):
    save_state(tmp_path, state_of(1), variables=make_variables(1))

    def fill_disk(file, **_):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fill_disk)
    with pytest.raises(OSError, match=r"No space left on device: .*epoch-00002\.npz"):
        save_state(tmp_path, state_of(2), variables=make_variables(2))
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-00001.npz"]
