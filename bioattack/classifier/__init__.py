"""Any run, ``.keras`` file, SavedModel folder, Keras model or callable becomes the one ``Classifier``."""

from bioattack.classifier.checks import check_against_records, check_with_pictures
from bioattack.classifier.classifier import Classifier, Endpoint
from bioattack.classifier.loading import display_names, load_classifier, read_card

__all__ = [
    "Classifier",
    "Endpoint",
    "check_against_records",
    "check_with_pictures",
    "display_names",
    "load_classifier",
    "read_card",
]
