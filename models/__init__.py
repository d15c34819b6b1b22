"""Networks and layers, in keras.ops only, so that they run on TensorFlow, JAX and PyTorch."""

if __name__ == "models":
    # A second copy under the bare name would register every Keras class twice.
    raise ImportError("import this package as bioattack.models, not as models")
