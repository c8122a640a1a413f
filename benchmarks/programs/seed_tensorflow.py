"""The seed program in TensorFlow: import, build, 1000 full-batch Adam steps as a graph, exit."""

# mypy: disable-error-code="import-not-found,import-untyped,unused-ignore"
# tensorflow lives in an environment of its own.

from typing import Any

import tensorflow as tf

dense = tf.keras.layers.Dense
model = tf.keras.Sequential([tf.keras.Input((10,)), dense(10, activation="relu"), dense(1)])
loss_function = tf.keras.losses.MeanSquaredError()
optimizer = tf.keras.optimizers.Adam(0.01)
optimizer.build(model.trainable_variables)
x, y = tf.random.uniform((1000, 10)), tf.random.uniform((1000, 1))


def step() -> Any:
    """One step of Adam."""
    with tf.GradientTape() as tape:
        loss = loss_function(y, model(x))
    gradients = tape.gradient(loss, model.trainable_variables)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables))
    return loss


compiled = tf.function(step)
for _ in range(1000):
    last = compiled()
print(float(last))
