"""Standard training: cross-entropy on the pictures as they are."""

from bioattack.training.classifier_training import ClassifierTraining


class StandardTraining(ClassifierTraining):
    """Minimises the cross-entropy of clean, augmented pictures, with Keras' own training step.

    Source:
        Vuyyuru et al. 2020, the training of the baseline.
    """
