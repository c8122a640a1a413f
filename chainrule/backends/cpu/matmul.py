"""Matrix products (..., n, k) @ (..., k, m): contractions with one row axis, one summed axis."""

from __future__ import annotations

from chainrule.backends.cpu.contraction import Contraction
from chainrule.backends.cpu.views import View


class Matmul(Contraction):
    """A matrix product.

    Args:
        left: (..., n, k), batch axes already broadcast.
        right: (..., k, m).
        target: (..., n, m), where the product stands.
        scope: the layer.
    """

    def __init__(self, left: View, right: View, target: View, scope: str = "") -> None:
        super().__init__(left, right, target, len(target.shape) - 2, 1, scope)
