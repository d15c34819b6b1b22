"""Every line of the registry names a function, and the faults name lines of the registry."""

import subprocess
import sys

import pytest

from bioattack.evaluation.audit_checks.registry import CHECKS
from bioattack.testing.faulty_models import FAULTS


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.key)
def test_every_check_can_be_loaded(check):
    function = check.load()
    assert callable(function)
    assert function.__doc__


def test_keys_and_titles_are_one_of_a_kind():
    assert len({check.key for check in CHECKS}) == len({check.title for check in CHECKS}) == len(CHECKS)
    assert len(CHECKS) >= 12


def test_every_check_has_a_fault_that_it_must_catch():
    caught = {key for fault in FAULTS.values() for key in fault.caught_by}
    # A card belongs to the classifier and not to its function, and a model whose first random start beats the
    # next has to change while it is attacked: these two have tests of their own.
    assert caught >= {check.key for check in CHECKS} - {"card-accuracy", "more-restarts"}
    assert caught <= {check.key for check in CHECKS}


def test_listing_the_checks_imports_nothing_heavy():
    code = (
        "import sys; import bioattack.evaluation.audit_checks.registry\n"
        "assert not {'tensorflow', 'keras', 'scipy', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
