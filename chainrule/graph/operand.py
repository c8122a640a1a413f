"""What derivative rules compute with: anything that primitives can be applied to.

Graph values (symbolic) and tensors (concrete or traced) are both operands, so one derivative table
serves the graph-to-graph transform and the eager tape alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from chainrule.graph.primitives import Primitive

Attributes = Mapping[str, Any]
Scalar = bool | int | float


class Operand:
    """A typed value to which primitives apply.

    Subclasses have ``shape`` (tuple of int) and ``dtype`` (numpy.dtype) and say in ``bind`` what
    applying a primitive means for them, and in ``constant_like`` how a number joins them. No
    abstract base class: ``isinstance`` of those is slow, and asked several times an operation.
    """

    __slots__ = ()

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def bind(self, primitive: Primitive, inputs: tuple[Any, ...], attributes: Attributes) -> Any:
        """Apply ``primitive`` to ``inputs``; returns its output (a tuple when it has several)."""
        raise NotImplementedError

    def constant_like(self, value: Scalar, dtype: np.dtype[Any] | None = None) -> Any:
        """The number ``value`` as a rank-0 operand beside this one, in this one's dtype unless
        another is given.
        """
        raise NotImplementedError

    # Arithmetic between operands of one dtype; a Python number joins in the operand's dtype.

    def __add__(self, other: Any) -> Any:
        return self._apply("add", self, other)

    def __radd__(self, other: Any) -> Any:
        return self._apply("add", other, self)

    def __sub__(self, other: Any) -> Any:
        return self._apply("subtract", self, other)

    def __rsub__(self, other: Any) -> Any:
        return self._apply("subtract", other, self)

    def __mul__(self, other: Any) -> Any:
        return self._apply("multiply", self, other)

    def __rmul__(self, other: Any) -> Any:
        return self._apply("multiply", other, self)

    def __truediv__(self, other: Any) -> Any:
        return self._apply("divide", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self._apply("divide", other, self)

    def __pow__(self, other: Any) -> Any:
        return self._apply("power", self, other)

    def __rpow__(self, other: Any) -> Any:
        return self._apply("power", other, self)

    def __neg__(self) -> Any:
        return self.bind(self._primitives()["negative"], (self,), {})

    def __matmul__(self, other: Any) -> Any:
        return self._apply("matmul", self, other)

    def _apply(self, name: str, x: Any, y: Any) -> Any:
        if not isinstance(x, Operand):
            x = self.constant_like(x)
        elif not isinstance(y, Operand):
            y = self.constant_like(y)
        return self.bind(self._primitives()[name], (x, y), {})

    @staticmethod
    def _primitives() -> dict[str, Primitive]:
        from chainrule.graph.primitives import PRIMITIVES

        return PRIMITIVES

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        size = 1
        for length in self.shape:
            size *= length
        return size
