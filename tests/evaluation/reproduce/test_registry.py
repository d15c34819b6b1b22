"""The tables by name: every line leads to experiments, and one label is one network everywhere."""

import importlib
import inspect
from pathlib import Path

import pytest

from bioattack.evaluation.reproduce.config import SCALES
from bioattack.evaluation.reproduce.registry import EXPERIMENTS, Entry, load_experiments, make_table
from bioattack.models.registry import MODELS, model_options


@pytest.mark.parametrize("scale", SCALES.values(), ids=list(SCALES))
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_line_leads_to_experiments(name, scale):
    experiments = load_experiments(name, scale)
    assert experiments
    for experiment in experiments:
        assert experiment.title
        assert list(inspect.signature(experiment.finish).parameters)[:2] == ["workplace", "experiment"]
        labels = [row.variant.label for row in experiment.rows]
        assert len(set(labels)) == len(labels)
        assert {label for pair in experiment.pairs for label in pair} <= set(labels)
        titles = [row.title for row in experiment.rows]
        assert len(set(titles)) == len(titles)
        for row in experiment.rows:
            assert set(row.published) <= {0.0, *scale.epsilons}


@pytest.mark.parametrize("scale", SCALES.values(), ids=list(SCALES))
def test_one_label_is_one_network_with_options_that_it_has(scale):
    options = {}
    for name in EXPERIMENTS:
        for experiment in load_experiments(name, scale):
            for row in experiment.rows:
                variant = row.variant
                found = (variant.model, variant.options_at(scale))
                assert options.setdefault(variant.label, found) == found, variant.label
    assert len(options) > 20
    for model, of_model in options.values():
        assert set(of_model) <= set(model_options(model)), model
    # Two labels for one network would train it twice.
    resolved = [
        repr((model, sorted(resolve(model, of_model, scale).items()))) for model, of_model in options.values()
    ]
    assert len(set(resolved)) == len(resolved)


def resolve(model, options, scale):
    """All options of a network, those of its preset included."""
    presets = importlib.import_module(MODELS[model].partition(":")[0]).PRESETS
    return {**model_options(model), **presets[scale.model_preset], **options}


def test_everything_is_in_one_name_for_each_paper():
    together = ("fixations", "imperceptible", "income", "fairness")
    parts = [{experiment.name for experiment in load_experiments(name, SCALES["small"])} for name in together]
    outlook = {"honest", "branches", "merges", "combinations", "fairness-leave-one-out", "fairness-methods"}
    assert set().union(*parts) == set(EXPERIMENTS) - outlook - set(together)
    assert sum(map(len, parts)) == len(set().union(*parts))


def test_the_map_of_the_papers_names_them_all():
    text = (Path(__file__).parents[3] / "docs" / "papers.md").read_text()
    missing = [name for name in EXPERIMENTS if f"`bioattack-reproduce {name}`" not in text]
    assert not missing


def test_a_name_stands_in_the_table_once():
    entry = Entry("table1", "a table", "module:function")
    with pytest.raises(ValueError, match=r"name must be in the table once\. Received: name='table1' twice"):
        make_table([entry, entry])


def test_a_target_names_module_and_function():
    with pytest.raises(ValueError, match=r"target must look like \'module:function\'\. Received"):
        make_table([Entry("table1", "a table", "module")])
