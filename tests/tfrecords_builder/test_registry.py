import subprocess
import sys

import pytest

from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.registry import KINDS, SOURCES, Kind, make_table, source_class
from bioattack.tfrecords_builder.source import BuildOptions, Source


@pytest.mark.parametrize("kind", KINDS)
def test_every_entry_is_a_source(kind):
    found = source_class(kind)
    assert issubclass(found, Source)
    assert issubclass(found.Options, BuildOptions)
    assert "--output" in found.example
    assert found.example.startswith("--")  # the command and the kind are put before it
    assert SOURCES[kind].endswith(f":{found.__name__}")
    assert len(KINDS[kind].summary) < 75


def test_unknown_kind_is_refused():
    with pytest.raises(
        RecordsError, match="there is no kind of source 'imagenet'; the kinds are imagenet10, folder"
    ):
        source_class("imagenet")


def test_naming_one_twice_raises():
    with pytest.raises(ValueError, match="the kind 'a' is in the table twice"):
        make_table([Kind("a", "m:A", ""), Kind("b", "m:B", ""), Kind("a", "m:C", "")])


def test_reading_the_table_imports_nothing_heavy():
    code = (
        "import sys; import bioattack.tfrecords_builder.registry\n"
        "assert not {'numpy', 'PIL', 'google.protobuf', 'tensorflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
