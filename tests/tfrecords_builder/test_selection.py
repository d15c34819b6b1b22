import numpy as np
import pytest

from bioattack.tfrecords_builder.build import build
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.reading import open_records
from bioattack.tfrecords_builder.schema import parse
from bioattack.tfrecords_builder.selection import read_names, select
from bioattack.tfrecords_builder.synthetic import SyntheticOptions
from bioattack.tfrecords_builder.tfrecord import read_records

NUM_TRAIN = 53


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    output = tmp_path_factory.mktemp("selection") / "records"
    build("synthetic", SyntheticOptions(output=output, num_train=NUM_TRAIN, num_test=5, size=16, quiet=True))
    return open_records(output)


@pytest.fixture(scope="module")
def stored(records):
    """Names and labels in the stored order, read by protobuf alone."""
    shards = sorted(records.directory.glob("train-*"))
    examples = [parse(record) for shard in shards for record in read_records(shard)]
    return [example.filename for example in examples], [example.label for example in examples]


def epoch(records, selection, *, number=0, limit=None):
    """Checksums of the pictures of one epoch in their order, and the labels."""
    total = selection.num_examples if selection else limit or NUM_TRAIN
    dataset = records.training_dataset(
        "train", batch_size=7, seed=3, first_epoch=number, limit=limit, selection=selection
    )
    batches = list(dataset.take(-(-total // 7)).as_numpy_iterator())
    images, labels = (np.concatenate(part) for part in zip(*batches, strict=True))
    assert len(labels) == total
    return [hash(image.tobytes()) for image in images], labels


def test_names_are_those_of_the_stored_order(records, stored):
    names, labels = read_names(records, "train")
    assert list(names) == stored[0]
    assert labels.tolist() == stored[1]
    assert list(read_names(records, "train", limit=4)[0]) == stored[0][:4]


def test_nothing_chosen_is_no_selection(records):
    assert select(records, "train") is None


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("left", [(0,), (3, 41)])
def test_the_others_keep_their_order(records, stored, left, number):
    whole, labels = epoch(records, None, number=number)
    selection = select(records, "train", left_out=[stored[0][place] for place in left])
    rest, rest_labels = epoch(records, selection, number=number)
    is_kept = [picture in rest for picture in whole]
    assert is_kept.count(False) == len(left)
    assert rest == [picture for picture in whole if picture in rest]
    np.testing.assert_array_equal(rest_labels, labels[is_kept])


def test_classes_are_level_and_every_picture_is_there(records, stored):
    counts = np.bincount(stored[1], minlength=records.num_classes)
    assert counts.max() > counts.min()
    selection = select(records, "train", is_balanced=True)
    pictures, labels = epoch(records, selection)
    expected = np.where(counts > 0, counts.max(), 0)
    np.testing.assert_array_equal(np.bincount(labels, minlength=records.num_classes), expected)
    repetitions = np.unique(pictures, return_counts=True)[1]
    assert len(repetitions) == NUM_TRAIN
    for label in range(records.num_classes):
        its = [pictures.count(picture) for picture in set(np.array(pictures)[labels == label])]
        assert max(its, default=0) - min(its, default=0) <= 1
    assert sorted(epoch(records, selection, number=1)[0]) == sorted(pictures)


def test_all_copies_of_what_is_left_out_go(records, stored):
    balanced = epoch(records, select(records, "train", is_balanced=True))[0]
    rarest = int(np.bincount(stored[1]).argmin())
    copies = []
    for name, label in zip(*stored, strict=True):
        if label == rarest:
            rest = epoch(records, select(records, "train", is_balanced=True, left_out=[name]))[0]
            (gone,) = set(balanced) - set(rest)
            assert rest == [picture for picture in balanced if picture != gone]
            copies.append(balanced.count(gone))
    assert max(copies) >= 2


def test_a_limit_is_chosen_from(records, stored):
    selection = select(records, "train", left_out=[stored[0][2]], limit=10)
    assert selection.num_examples == 9
    assert len(set(epoch(records, selection, limit=10)[0])) == 9
    with pytest.raises(RecordsError, match=r"the first 10 of .*no record named"):
        select(records, "train", left_out=[stored[0][20]], limit=10)


def test_unknown_names_and_empty_rests_are_refused(records, stored):
    with pytest.raises(RecordsError, match=r"no record named .nobody\.png."):
        select(records, "train", left_out=["nobody.png"])
    with pytest.raises(RecordsError, match="nothing of split"):
        select(records, "train", left_out=stored[0][:2], limit=2)
