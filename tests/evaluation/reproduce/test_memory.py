import json

import keras
import pytest

from bioattack.evaluation.reproduce import memory_process


def tiny_network(_, *, image_shape, num_classes, **__):
    return keras.Sequential(
        [keras.Input(image_shape), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(num_classes)]
    )


@pytest.mark.parametrize(("mode", "num_images"), [("nothing", 32), ("records", 20), ("arrays", 20)])
def test_a_process_says_what_it_took(records, capfd, monkeypatch, mode, num_images):
    monkeypatch.setattr(memory_process, "build_model", tiny_network)
    memory_process.main([mode, str(records), "20"])
    found = json.loads(capfd.readouterr().out)
    assert found["data_bytes"] == num_images * 16 * 16 * 3 * 4
    assert found["peak_bytes"] > 10 * found["data_bytes"]
    assert found["epoch_s"] > 0
