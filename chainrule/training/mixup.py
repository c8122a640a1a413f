"""Mixup: a network is trained on means of two rows and of their targets."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from chainrule import tree
from chainrule.errors import ArgumentError
from chainrule.losses import Loss
from chainrule.nn.validate import number
from chainrule.tensor import Tensor, functions, random

# Steps of the table from which shares are drawn.
STEPS = 1024


class Mix(NamedTuple):
    """How the rows of one batch are mixed: row i has ``share``, ``partners[i]`` the rest."""

    partners: Tensor
    share: Tensor

    def inputs(self, x: Any) -> Any:
        """Mixed inputs, in the structure of ``x``; uint8 stays uint8, rounded."""
        return tree.map_leaves(self._mixed, x)

    def _mixed(self, values: Tensor) -> Tensor:
        if values.dtype.kind == "f":
            return self._mean(values)
        if values.dtype != np.uint8:
            raise ArgumentError(
                "fit: mixup",
                "the inputs are no quantities that could be mixed",
                got=values.dtype.name,
                expected="floating inputs, or pictures (uint8)",
                fix="leave mixup out, or give x as floating numbers",
            )
        return functions.round(self._mean(values.astype("float32"))).astype(values.dtype)

    def _mean(self, values: Tensor) -> Tensor:
        share = self.share.astype(values.dtype)
        return values * share + functions.take(values, self.partners, 0) * (1.0 - share)

    def loss(self, loss: Loss) -> Callable[..., Tensor]:
        """The loss against both rows' targets: ``s loss(y) + (1 - s) loss(y of the partners)``."""

        def mixed(y: Tensor, outputs: Tensor, sample_weight: Tensor | None = None) -> Tensor:
            weights = (
                None if sample_weight is None else functions.take(sample_weight, self.partners, 0)
            )
            own = loss(y, outputs, sample_weight=sample_weight)
            other = loss(functions.take(y, self.partners, 0), outputs, sample_weight=weights)
            share = self.share.astype(own.dtype)
            return own * share + other * (1.0 - share)

        return mixed


class Mixup:
    """Draws how the rows of each batch are mixed.

    x' = s x + (1 - s) x[p],  loss = s loss(y) + (1 - s) loss(y[p]);
    p a random order of the rows, s = max(b, 1 - b) with b ~ Beta(alpha, alpha), one for a batch

    For a loss that is linear in the target, such as cross-entropy, this is the loss against the
    mixed targets; classes may stay numbers.

    Args:
        alpha: above 0; the larger, the nearer s is to 1/2. Usual are 0.1 to 0.4; 1 draws evenly.
        seed: of the draws.

    Raises:
        ArgumentError: alpha is not above 0.

    Reference: Zhang et al., "mixup: beyond empirical risk minimization", 2018.

    >>> mix = Mixup(0.2, seed=0).draw(4)
    >>> sorted(mix.partners.tolist()), 0.5 <= mix.share.item() <= 1
    ([0, 1, 2, 3], True)
    """

    def __init__(self, alpha: float, seed: int = 0) -> None:
        self.alpha = number("fit", "mixup", alpha, minimum=0.0)
        if self.alpha == 0:
            raise ArgumentError("fit", "bad mixup", got=alpha, expected="a number above 0")
        self.generator = random.Generator(seed)
        self._powers = _quantiles(self.alpha)

    def draw(self, rows: int) -> Mix:
        """Partners and share for a batch of so many rows; other ones in each call."""
        keys = random.split(self.generator.next_key())
        return Mix(random.permutation(keys[0], rows), self._share(keys[1]))

    def _share(self, key: Tensor) -> Tensor:
        """By the inverse of the distribution function, between the places of a table."""
        place = random.uniform(key, ()) * float(STEPS)
        step = functions.floor(place)
        ends = functions.take(self._powers, functions.stack([step, step + 1.0]).astype("int32"))
        power = ends[0] + (ends[1] - ends[0]) * (place - step)
        return 1.0 - functions.power(power, 1.0 / self.alpha)


def _quantiles(alpha: float) -> NDArray[np.float32]:
    """``b^alpha`` at ``STEPS + 1`` even steps of the distribution of the smaller share b <= 1/2.

    The density b^(alpha - 1) (1 - b)^(alpha - 1) has no bound at 0, that of ``b^alpha`` has one.
    """
    powers = np.linspace(0.0, 0.5**alpha, 64 * STEPS)
    density = (1.0 - powers ** (1.0 / alpha)) ** (alpha - 1.0)
    below = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    return np.interp(np.linspace(0.0, below[-1], STEPS + 1), below, powers).astype(np.float32)
