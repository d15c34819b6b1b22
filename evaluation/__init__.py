"""What is measured and how it is shown: robustness, tables, figures, the report."""

if __name__ == "evaluation":
    # A second copy under the bare name would register every Keras class twice.
    raise ImportError("import this package as bioattack.evaluation, not as evaluation")
