import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from bioattack.models.layers.xla import compiled_with_xla


def _count_traces(function):
    """The function, and the list of shapes that Python code has run for."""
    shapes = []

    def traced(*tensors):
        shapes.append(tuple(tensors[0].shape))
        return function(*tensors)

    return traced, shapes


def test_is_compiled_and_gives_the_same():
    function, shapes = _count_traces(lambda values, factor: ops.sin(values) * factor)
    compiled = compiled_with_xla(function)
    values = tf.linspace(0.0, 3.0, 7)
    for factor in (2.0, -1.0):
        np.testing.assert_allclose(
            compiled(values, tf.constant(factor)), np.sin(values) * factor, rtol=0, atol=1e-6
        )
    assert len(shapes) == 1


def test_xla_is_what_compiles_it():
    @tf.function
    def outer(values):
        return compiled_with_xla(lambda inner: inner + 1.0)(values) * 2.0

    graph = outer.get_concrete_function(tf.TensorSpec((None,))).graph
    calls = [node for node in graph.as_graph_def().node if "_XlaMustCompile" in node.attr]
    assert [node.attr["_XlaMustCompile"].b for node in calls] == [True]
    # The graph around it is left to the ordinary executor.
    assert any(node.op == "Mul" for node in graph.as_graph_def().node)


def test_nothing_is_compiled_before_the_first_call():
    function, shapes = _count_traces(lambda values: values)
    compiled_with_xla(function)
    assert shapes == []


def test_gradients_pass():
    compiled = compiled_with_xla(lambda values: values**3)
    values = tf.constant([1.0, -2.0])
    with tf.GradientTape() as outer:
        outer.watch(values)
        with tf.GradientTape() as inner:
            inner.watch(values)
            result = compiled(values)
        first = inner.gradient(result, values)
    np.testing.assert_allclose(first, [3.0, 12.0], rtol=1e-6)
    np.testing.assert_allclose(outer.gradient(first, values), [6.0, -12.0], rtol=1e-6)


# Images of several sizes go through one sampler in one process.
def test_shapes_stay_known_to_the_function_and_what_follows():
    function, shapes = _count_traces(lambda values: values * 2.0)
    compiled = compiled_with_xla(function)
    for size in (4, 5, 6):
        known = tf.function(compiled).get_concrete_function(tf.TensorSpec((None, size)))
        assert known.structured_outputs.shape.as_list() == [None, size]
        assert compiled(tf.ones((3, size))).shape == (3, size)
    assert {shape[1] for shape in shapes} == {4, 5, 6}


def test_is_saved_with_a_model(tmp_path):
    module = tf.Module()
    compiled = compiled_with_xla(lambda values: ops.exp(values))
    module.serve = tf.function(compiled, input_signature=[tf.TensorSpec((None, 2))])
    tf.saved_model.save(module, tmp_path)
    values = tf.constant([[0.0, 1.0]])
    loaded = tf.saved_model.load(tmp_path)
    with tf.GradientTape() as tape:
        tape.watch(values)
        result = loaded.serve(values)
    np.testing.assert_allclose(result, [[1.0, np.e]], rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(result, values), [[1.0, np.e]], rtol=1e-6)


def test_errors_keep_their_sentence():
    def refuse(values):
        raise ValueError(f"values must be even. Received: {values.shape}")

    with pytest.raises(ValueError, match=r"^values must be even. Received: \(3,\)$"):
        compiled_with_xla(refuse)(tf.ones(3))


def test_keeps_name_and_docstring():
    def double(values):
        """Doubles."""
        return values * 2

    compiled = compiled_with_xla(double)
    assert (compiled.__name__, compiled.__doc__) == ("double", "Doubles.")
