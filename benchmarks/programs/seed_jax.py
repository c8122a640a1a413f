"""The seed program in JAX: import, build, 1000 full-batch Adam steps in one ``scan``, exit."""

# mypy: disable-error-code="import-not-found,import-untyped,unused-ignore"
# jax and optax live in an environment of their own.

from typing import Any

import jax
import jax.numpy as jnp
import optax

keys = jax.random.split(jax.random.key(0), 4)
parameters = {
    "w1": jax.random.normal(keys[0], (10, 10)) * 0.3,
    "b1": jnp.zeros(10),
    "w2": jax.random.normal(keys[1], (10, 1)) * 0.3,
    "b2": jnp.zeros(1),
}
x, y = jax.random.uniform(keys[2], (1000, 10)), jax.random.uniform(keys[3], (1000, 1))
optimizer = optax.adam(0.01)


def loss_of(p: Any) -> Any:
    """The mean squared error of the network."""
    return jnp.mean((jax.nn.relu(x @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"] - y) ** 2)


def step(state: Any, _: Any) -> Any:
    """One step of Adam."""
    p, moments = state
    loss, gradients = jax.value_and_grad(loss_of)(p)
    updates, moments = optimizer.update(gradients, moments)
    return (optax.apply_updates(p, updates), moments), loss


train = jax.jit(lambda state: jax.lax.scan(step, state, None, length=1000))
_, losses = train((parameters, optimizer.init(parameters)))
print(float(losses[-1]))
