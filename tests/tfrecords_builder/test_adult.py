import dataclasses
import json
import shutil

import numpy as np
import pytest

from bioattack.cli.build_records import main
from bioattack.testing.check_source import check_source
from bioattack.tfrecords_builder.adult import ATTRIBUTES, Adult, AdultOptions
from bioattack.tfrecords_builder.build import build
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.reading import open_records

ROW = {
    "age": "39",
    "workclass": "State-gov",
    "fnlwgt": "77516",
    "education": "Bachelors",
    "education-num": "13",
    "marital-status": "Never-married",
    "occupation": "Adm-clerical",
    "relationship": "Not-in-family",
    "race": "White",
    "sex": "Male",
    "capital-gain": "2174",
    "capital-loss": "0",
    "hours-per-week": "40",
    "native-country": "United-States",
}


def _line(label="<=50K", **changes):
    values = ROW | {name.replace("_", "-"): value for name, value in changes.items()}
    return ", ".join([*values.values(), label])


TRAIN = [
    _line(),
    _line(age="50", sex="Female", race="Black"),
    _line(workclass="?"),
    _line(">50K", age="20", fnlwgt="1000000"),
    _line(">50K", age="30", native_country="?"),
    _line(">50K", education="Doctorate", race="Other"),
]
TEST = [
    "|1x3 Cross validator",
    _line("<=50K.", age="25"),
    _line(">50K.", hours_per_week="60"),
    _line("<=50K."),
]


def _write(folder, train=TRAIN, test=TEST):
    folder.mkdir(exist_ok=True)
    (folder / "adult.data").write_text("\n".join(train) + "\n\n")
    (folder / "adult.test").write_text("\n".join(test) + "\n\n")
    return folder


def _adult(source):
    return Adult(AdultOptions(source=source, output=source.parent / "unused"))


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adult")
    options = AdultOptions(source=_write(folder / "source"), output=folder / "records", quiet=True)
    build("adult", options)
    return open_records(folder / "records")


def test_source(tmp_path):
    arguments = {"source": _write(tmp_path / "source")}
    counts = {"train": (2, 2), "test": (2, 1)}
    manifest = check_source("adult", arguments, folder=tmp_path / "out", counts=counts)
    assert (manifest.class_names, manifest.groups) == (("<=50K", ">50K"), ("race", "sex"))
    assert (manifest.image.height, manifest.image.channels) == (None, 0)
    assert manifest.left_out == {
        "rows with a missing value (?)": {"count": 2, "examples": ["train/00002", "train/00004"]}
    }
    assert manifest.duplicates == {"num_pairs": 1, "examples": [["train/00000", "test/00002"]]}
    assert set(manifest.source) == {"adult.data", "adult.test", "rows_sha256"}
    table = manifest.table
    assert table.names == tuple(ROW)
    kinds = {attribute.name: attribute.kind for attribute in table.attributes}
    assert sum(kind == "continuous" for kind in kinds.values()) == 6
    assert [attribute.name for attribute in table.attributes if attribute.is_protected] == ["race", "sex"]
    age = table.attributes[0]
    # Training rows of 39, 50, 20 and 39 years; one of 25 in the test.
    assert (age.minimum, age.maximum, age.mean) == (20, 50, 37)
    assert age.std == pytest.approx(np.std([39, 50, 20, 39]))
    assert table.attributes[1].categories == ATTRIBUTES["workclass"]
    assert table.attributes[1].maximum == 7


@pytest.mark.parametrize("form", ["zip", "gztar", "file"])
def test_every_form_gives_the_same_rows(tmp_path, form):
    source = _write(tmp_path / "source")
    given = source / "adult.data"
    if form != "file":
        given = tmp_path / shutil.make_archive(str(tmp_path / "packed"), form, source)
    assert _adult(given).items() == _adult(source).items()
    assert json.dumps(_adult(given).checksums())


def test_rows_are_read_as_batches_of_features(records):
    assert (records.input_shape, records.num_classes) == ((14,), 2)
    ((features, labels),) = records.dataset("train", batch_size=10)
    assert (features.dtype.name, features.shape, labels.dtype.name) == ("float32", (4, 14), "int32")
    assert records.dataset("train", batch_size=3).element_spec[0].shape == (None, 14)
    (batch,) = records.examples("train", batch_size=10)
    place = list(batch["image_id"].numpy()).index(b"train/00001")
    assert records.table.in_words(batch["features"][place].numpy()) == ROW | {
        "age": 50.0, "fnlwgt": 77516.0, "education-num": 13.0, "capital-gain": 2174.0,
        "capital-loss": 0.0, "hours-per-week": 40.0, "sex": "Female", "race": "Black",
    }  # fmt: skip
    assert (batch["group_sex"][place].numpy(), batch["group_race"][place].numpy()) == (b"Female", b"Black")
    assert batch["label"].numpy().tolist() == labels.numpy().tolist()


def test_shuffling_follows_seed_and_epoch(records):
    def ages(dataset):
        return np.concatenate([features[:, 0] for features, _ in dataset.as_numpy_iterator()]).tolist()

    orders = [ages(records.dataset("train", batch_size=3, epoch_seed=(0, epoch))) for epoch in range(3)]
    assert all(sorted(order) == [20, 39, 39, 50] for order in orders)
    assert len(set(map(tuple, orders))) > 1
    training = records.training_dataset("train", batch_size=3, seed=0, first_epoch=1)
    assert ages(training.take(4)) == orders[1] + orders[2]
    assert len(ages(records.dataset("train", batch_size=3, limit=2))) == 2
    assert len(ages(records.dataset("train", batch_size=3, part=(1, 3)))) == 1


def test_who_wants_pictures_is_told(records):
    with pytest.raises(RecordsError, match=r"holds rows of a table \(14 attributes\) and no pictures"):
        _ = records.image_shape


def test_the_command_speaks_of_rows(tmp_path, capsys):
    source = _write(tmp_path / "source")
    words = ["adult", "--source", str(source), "--output", str(tmp_path / "records"), "--quiet"]
    assert main(words) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines()[3].split() == ["all", "4", "3"]
    assert "left out: 2 rows with a missing value (?) (train/00002, train/00004)" in shown.err
    assert "warning: 1 rows of the test split are in the training split too" in shown.err
    assert main(["verify", str(tmp_path / "records")]) == 0


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (
            [",".join([*ROW, "income"])],
            TEST,
            r"adult\.data in .*, line 1, is a header \(age, workclass, \.\.\.\)",
        ),
        (
            [_line().replace(", ", ";")],
            TEST,
            "line 1, has values separated by semicolons in place of 15 separ",
        ),
        ([_line().replace(", ", "\t")], TEST, "line 1, has values separated by tabs in place of 15"),
        ([_line().replace(", ", " ")], TEST, "line 1, has values separated by blanks in place of 15"),
        ([_line(), _line()[4:]], TEST, "line 2, has 14 values in place of 15 separated by commas"),
        (
            TRAIN,
            [_line("<=50K.", race="Martian")],
            r"adult\.test in .*, line 1: race has an unknown category 'M",
        ),
        (
            [_line(sex="male")],
            TEST,
            "line 1: sex has an unknown category 'male'; it must be one of Female, Male",
        ),
        ([_line(age="39.5")], TEST, r"age must be a whole number\. Received: '39\.5'"),
        ([_line("rich")], TEST, r"the class must be <=50K or >50K\. Received: 'rich'"),
        ([_line(race="?")], TEST, r"adult\.data in .* has no rows without missing values"),
        (TRAIN, [], r"adult\.test in .* has no rows without missing values"),
    ],
)
def test_other_files_are_refused(tmp_path, train, test, message):
    with pytest.raises(RecordsError, match=message) as refused:
        _adult(_write(tmp_path / "source", train, test)).items()
    assert "\n" not in str(refused.value)


def test_missing_and_repeated_files_are_refused(tmp_path):
    source = _write(tmp_path / "source")
    shutil.copytree(source, source / "copy")
    with pytest.raises(RecordsError, match=r"has 2 files adult\.data; give a folder or an archive with the"):
        _adult(source)
    shutil.rmtree(source / "copy")
    (source / "adult.test").unlink()
    with pytest.raises(RecordsError, match=r"has no adult\.test; give a folder"):
        _adult(source / "adult.data")


@pytest.mark.realdata
def test_published_counts(realdata, tmp_path):
    options = AdultOptions(source=realdata / "adult" / "adult.zip", output=tmp_path / "records")
    source = Adult(options)
    items = source.items()
    labels = {split: [item.label for item in items if item.split == split] for split in ("train", "test")}
    # Sooksatra and Rivas, section IV; the classes are those that adult.names counts without unknowns
    # (24.78 % above 50K).
    assert (len(labels["train"]), len(labels["test"])) == (30_162, 15_060)
    assert sum(labels["train"]) / 30_162 == pytest.approx(0.2489, abs=5e-5)
    assert sum(labels["train"] + labels["test"]) / 45_222 == pytest.approx(0.2478, abs=5e-5)
    assert source.left_out["rows with a missing value (?)"]["count"] == 32_561 + 16_281 - 45_222
    ranges = {attribute.name: (attribute.minimum, attribute.maximum) for attribute in source.table.attributes}
    assert (ranges["age"], ranges["hours-per-week"], ranges["capital-gain"]) == (
        (17, 90),
        (1, 99),
        (0, 99_999),
    )
    # Never-worked goes with the rows that have no occupation; all else occurs.
    for column, attribute in enumerate(source.table.attributes):
        if attribute.categories:
            seen = {int(item.reference[0][column]) for item in items}
            missing = [
                attribute.categories[code] for code in range(len(attribute.categories)) if code not in seen
            ]
            assert missing == (["Never-worked"] if attribute.name == "workclass" else [])
    manifest = build("adult", dataclasses.replace(options, limit=100, quiet=True, workers=1)).manifest
    assert manifest.splits["train"].num_examples == 100
