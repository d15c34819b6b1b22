"""Biologically inspired robust models, attacks that people cannot see, and the fairness of both.

The parts: ``bioattack.tfrecords_builder`` (pictures to records), ``bioattack.models``,
``bioattack.training``, ``bioattack.attacks``, ``bioattack.evaluation``. Importing this package imports none
of them, nor TensorFlow.
"""

from pathlib import Path

from bioattack._version import __version__

__all__ = ["__version__"]

# From the root of a checkout this folder shadows the installed package; its sisters lie beside it, not in it.
_root = Path(__file__).resolve().parent.parent
if (_root / "setup.cfg").is_file() and (_root / "tfrecords_builder").is_dir():
    __path__.append(str(_root))
