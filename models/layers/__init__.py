"""Keras layers in keras.ops only: serialisable, differentiable, backend-neutral."""
