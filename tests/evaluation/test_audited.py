"""The pictures that are taken for an audit, and what is kept of it."""

import json

import numpy as np
import pytest

from bioattack.evaluation import audited
from bioattack.evaluation.audited import audit_identity, audit_models, has_audit, read_audit, take_sample
from bioattack.testing.small_records import write_small_records
from bioattack.tfrecords_builder.reading import open_records


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return open_records(write_small_records(tmp_path_factory.mktemp("data") / "records", num_test=30))


def _take(records, **how):
    return take_sample(records, **({"split": "test", "num_images": 8, "limit": None, "batch_size": 4} | how))


def test_the_first_pictures_are_taken_and_the_next_are_further_ones(records):
    sample = _take(records)
    (batch,) = records.examples("test", batch_size=30).as_numpy_iterator()
    np.testing.assert_array_equal(sample.images, batch["image"][:8])
    np.testing.assert_array_equal(sample.labels, batch["label"][:8])
    np.testing.assert_array_equal(sample.further_images, batch["image"][8:])
    assert sample.image_ids == [name.decode() for name in batch["image_id"][:8]]
    assert (sample.split, sample.fingerprint) == ("test", records.manifest.fingerprint)


@pytest.mark.parametrize(("limit", "num_taken", "num_further"), [(20, 8, 12), (5, 5, 0), (100, 8, 22)])
def test_no_picture_beyond_the_limit_is_looked_at(records, limit, num_taken, num_further):
    sample = _take(records, limit=limit)
    assert (len(sample.images), len(sample.further_images)) == (num_taken, num_further)


def test_large_pictures_are_not_all_kept(records, monkeypatch):
    monkeypatch.setattr(audited, "_FURTHER_BYTES", 3 * 16 * 16 * 3 * 4)
    assert len(_take(records).further_images) == 3


class _Named:
    def __init__(self, name):
        self.name = name


@pytest.fixture
def made(monkeypatch):
    """Stands in for the audit itself: notes which models it was asked about, with which surrogates."""
    calls = []

    def audit(classifier, _, *, surrogates, **__):
        calls.append((classifier.name, [other.name for other in surrogates]))
        if classifier.name == "broken":
            raise KeyboardInterrupt
        return {"model": classifier.name, "num_failed": 0, "checks": []}

    monkeypatch.setattr(audited, "audit", audit)
    return calls


def test_a_finished_audit_is_not_made_again(made, tmp_path):
    first, broken, last = map(_Named, ("first", "broken", "last"))
    with pytest.raises(KeyboardInterrupt):
        audit_models([first, broken, last], None, output=tmp_path, identity={"seed": 0})
    assert [model["model"] for model in read_audit(tmp_path)["models"]] == ["first"]
    broken.name = "mended"
    content = audit_models([first, broken, last], None, output=tmp_path, identity={"seed": 0})
    assert [model["model"] for model in content["models"]] == ["first", "mended", "last"]
    assert made == [
        ("first", ["broken", "last"]),
        ("broken", ["first", "last"]),
        ("mended", ["first", "last"]),
        ("last", ["first", "mended"]),
    ]
    assert content == read_audit(tmp_path)


def test_another_audit_begins_anew(made, tmp_path):
    for seed in (0, 1):
        content = audit_models([_Named("m")], None, output=tmp_path, identity={"seed": seed})
        assert content["identity"] == {"seed": seed}
    assert len(made) == 2


def test_whether_a_summary_holds_its_audit():
    summary = {
        "settings": {"model": ["runs/m"], "data": "d", "seed": 3},
        "models": [{"name": "m", "fingerprint": "ab" * 32}],
        "data": {"fingerprint": "5f" * 32},
    }
    assert not has_audit(summary, num_images=128)
    audit = {"identity": audit_identity(summary, num_images=128), "models": [{"model": "m"}]}
    summary["audit"] = json.loads(json.dumps(audit))
    assert has_audit(summary, num_images=128)
    assert not has_audit(summary, num_images=64)
    summary["audit"]["models"] = []
    assert not has_audit(summary, num_images=128)
