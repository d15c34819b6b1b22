"""Whether a classifier works less well for the poor: regression on income, tests, power. No TensorFlow."""
