"""Networks of studies that are trained and attacked side by side, in processes of their own."""

import dataclasses
import json

import pytest

from bioattack.errors import InputError
from bioattack.evaluation.reproduce import fairness_studies
from bioattack.evaluation.reproduce.config import ReproduceConfig
from bioattack.evaluation.reproduce.fairness_measure import WHITE_BOX
from bioattack.evaluation.reproduce.fairness_networks import networks_for
from bioattack.evaluation.reproduce.fairness_sizes import subject_of
from bioattack.evaluation.reproduce.opening import open_workplace
from bioattack.evaluation.results import read_results
from bioattack.testing.small_tables import write_small_table

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studies")
    write_small_table(folder / "records")
    return ReproduceConfig(
        name="fairness-classes",
        data=folder / "records",
        output=folder / "out",
        epochs=1,
        limit=20,
        quiet=True,
    )


def test_several_processes_leave_what_one_would(config, monkeypatch):
    with open_workplace(config, needs_records=True) as workplace:
        studies = fairness_studies.open_studies(workplace, asked=(WHITE_BOX,))
        assert [study.perturb for study in studies] == ["valid", "all"]
        for study in studies:
            assert all(study.is_measured(network, (WHITE_BOX,)) for network in study.networks)
        done = {path: path.stat().st_mtime_ns for path in config.output.rglob("*") if path.is_file()}
        fairness_studies.open_studies(workplace, asked=(WHITE_BOX,))
        assert {path: path.stat().st_mtime_ns for path in done} == done
    monkeypatch.setattr(fairness_studies, "num_cores", lambda: 1)
    alone = dataclasses.replace(config, output=config.output.with_name("alone"))
    with open_workplace(alone, needs_records=True) as workplace:
        fairness_studies.open_studies(workplace, asked=(WHITE_BOX,))
    folders = sorted(alone.output.glob("attacks/*"))
    assert len(folders) == 4
    for folder in folders:
        ours, theirs = read_results(config.output / "attacks" / folder.name), read_results(folder)
        timing = [name for name in ours if "seconds" in name]
        assert len(ours)
        assert ours.drop(columns=timing).equals(theirs.drop(columns=timing))


def test_what_is_trained_again_waits_for_the_copies_that_it_learns_from(config):
    other = dataclasses.replace(config, output=config.output.with_name("other"))
    with open_workplace(other, needs_records=True) as workplace:
        study = fairness_studies._study(
            workplace, networks_for(subject_of(workplace.pictures), with_further=True), 0, "valid"
        )
        chains = [
            [network.label for network in share.networks]
            for share in fairness_studies._missing_shares(study, (WHITE_BOX,))
        ]
    assert chains == [["standard"], ["robust", "retrained"], ["pgd"], ["trades"]]


def test_what_is_wrong_in_another_process_is_told_in_one_sentence(config):
    wrong = dataclasses.replace(config, output=config.output.with_name("wrong"))
    with open_workplace(wrong, needs_records=True) as workplace:
        run = workplace.output / "runs" / "fairness-robust-all-seed-0"
        run.parent.mkdir()
        run.write_text("a file where a run folder is to be")
        with pytest.raises(InputError, match="fairness-robust-all-seed-0"):
            fairness_studies.open_studies(workplace, asked=())
    assert json.loads((wrong.output / "settings.json").read_text())
