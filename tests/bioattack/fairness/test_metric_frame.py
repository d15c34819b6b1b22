"""Fairlearn's MetricFrame of our rows gives our scores."""

import sys

import numpy as np
import pandas as pd
import pytest

from bioattack.errors import InputError
from bioattack.fairness.group_scores import score_groups
from bioattack.fairness.metric_frame import as_metric_frame
from bioattack.fairness.unfairness import accuracy_unfairness, epsilon_unfairness, success_unfairness


@pytest.fixture
def rows():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 300)
    predicted = np.where(generator.random(300) < 0.7, labels, (labels + 1) % 3)
    right = predicted == labels
    fooled = right & (generator.random(300) < 0.4)
    return pd.DataFrame(
        {
            "label": labels,
            "predicted": predicted,
            "sex": generator.choice(["f", "m"], 300),
            "is_right": right,
            "is_fooled": fooled,
            "is_right_after": right & ~fooled,
            "least_epsilon": np.where(right, generator.exponential(size=300), 0),
        }
    )


@pytest.mark.parametrize("column", ["label", "sex"])
def test_differences_are_our_scores(rows, column):
    pytest.importorskip("fairlearn.metrics", reason="pip install fairlearn")
    frame = as_metric_frame(rows, column=column)
    expected = {
        "accuracy": accuracy_unfairness(rows["is_right"], rows[column]),
        "adversarial_accuracy": accuracy_unfairness(rows["is_right_after"], rows[column]),
        "success_rate": success_unfairness(rows["is_fooled"], rows["is_right"], rows[column]),
        "least_epsilon": epsilon_unfairness(rows["least_epsilon"], rows[column]),
    }
    values = {name: score_groups(asked).value for name, asked in expected.items()}
    assert frame.difference().to_dict() == pytest.approx(values, abs=1e-9)
    assert isinstance(frame.by_group, pd.DataFrame)
    assert list(frame.by_group.index.names) == [column]


def test_metrics_of_its_own(rows):
    metrics = pytest.importorskip("fairlearn.metrics", reason="pip install fairlearn")
    frame = as_metric_frame(rows, column="sex", metrics={"n": metrics.count})
    assert frame.by_group["n"].to_dict() == rows["sex"].value_counts().to_dict()
    with pytest.raises(InputError, match="no column 'predicted'"):
        as_metric_frame(rows.drop(columns="predicted"), column="sex", metrics={"n": metrics.count})


def test_missing_column_is_said(rows):
    pytest.importorskip("fairlearn.metrics", reason="pip install fairlearn")
    with pytest.raises(InputError, match="no column 'race'; they have label"):
        as_metric_frame(rows, column="race")
    with pytest.raises(InputError, match="none of the columns of accuracy"):
        as_metric_frame(rows[["sex"]], column="sex")


def test_missing_package_is_said_with_its_install_line(rows, monkeypatch):
    monkeypatch.setitem(sys.modules, "fairlearn.metrics", None)
    with pytest.raises(InputError, match="pip install fairlearn"):
        as_metric_frame(rows, column="sex")
