"""Pictures become checksummed, sharded TFRecords, and are read back as tf.data."""

if __name__ == "tfrecords_builder":
    # A second copy under the bare name would register every Keras class twice.
    raise ImportError("import this package as bioattack.tfrecords_builder, not as tfrecords_builder")
