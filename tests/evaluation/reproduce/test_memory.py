import json

import pytest

from bioattack.evaluation.reproduce.memory_process import main


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "num_images"), [("records", 20), ("arrays", 20)])
def test_a_process_says_what_it_took(records, capfd, mode, num_images):
    main([mode, str(records), "20"])
    found = json.loads(capfd.readouterr().out)
    assert found["data_bytes"] == num_images * 16 * 16 * 3 * 4
    assert found["peak_bytes"] > 10 * found["data_bytes"]
    assert found["epoch_s"] > 0
