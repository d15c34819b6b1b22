import pytest

from bioattack.training.classifier_training import ClassifierTraining
from bioattack.training.registry import TRAININGS, training_class


@pytest.mark.parametrize("name", TRAININGS)
def test_every_way_of_training_is_one(name):
    assert issubclass(training_class(name), ClassifierTraining)


def test_unknown_name():
    with pytest.raises(KeyError, match="magic"):
        training_class("magic")
