"""Attacks on a Classifier, and the bridge to Foolbox."""
