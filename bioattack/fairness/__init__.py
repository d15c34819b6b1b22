"""Whether a classifier works less well for some: scores of groups, regression on income. No TensorFlow."""
