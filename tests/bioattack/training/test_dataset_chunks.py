import re

import pytest

from bioattack.errors import InputError
from bioattack.tfrecords_builder.weighted_shards import writing_shard
from bioattack.training.dataset_chunks import ChunkNotes, plan_chunks


@pytest.mark.parametrize("batch_size", [1, 7, 32, 256, 1000])
@pytest.mark.parametrize("num_clean", [1, 256, 257, 700])
def test_chunks_cover_everything_once(num_clean, batch_size):
    num_batches = -(-num_clean // batch_size)
    chunks = plan_chunks(num_clean=num_clean, num_batches=num_batches, rounds=2, batch_size=batch_size)
    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    for number, total in ((0, num_clean), (1, num_batches), (2, num_batches)):
        its = [chunk for chunk in chunks if chunk.round == number]
        assert [place for chunk in its for place in range(chunk.first, chunk.stop)] == list(range(total))
        if number:
            assert all((chunk.stop - chunk.first) * batch_size <= max(256, batch_size) for chunk in its)


def make_notes(folder):
    scratch = folder / "scratch"
    scratch.mkdir()
    return ChunkNotes(folder, scratch, plan_chunks(num_clean=300))


def test_notes_come_back_and_a_half_written_shard_is_named(tmp_path):
    notes = make_notes(tmp_path)
    chunk = notes.chunks[1]
    assert not notes.is_done(chunk)
    path = notes.shard_path(chunk)
    assert path.name == "train-00001-of-00002.tfrecord"
    with writing_shard(path, number=1, scratch=notes.scratch) as shard:
        shard.append(b"record", weight=3.0, origin=5)
    notes.write(chunk, shard.entry(path.name), index=shard.index(), labels=[2, 0, 2], sums={"samples": 3.0})
    assert notes.is_done(chunk)
    note = notes.read(chunk)
    assert (note["labels"], note["sums"], note["shard"].num_examples) == ([1, 0, 2], {"samples": 3.0}, 1)
    path.write_bytes(path.read_bytes()[:-1])
    message = f"{path} is missing or half-written; remove {tmp_path} and give the same command again"
    with pytest.raises(InputError, match=re.escape(message)):
        notes.read(chunk)
