"""Operators and methods of tensors: each is the function of the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

# The functions are made of tensors and tensors have them as methods: a cycle that the package's
# __init__ opens by
# importing the functions first.
import chainrule.tensor.functions as functions
import chainrule.tensor.layout as layout

if TYPE_CHECKING:
    from chainrule.tensor.tensor import Tensor

Axis = int | tuple[int, ...] | None


class TensorOperators:
    """Mixed into Tensor."""

    __slots__ = ()

    # ---- arithmetic

    def __add__(self, other: Any) -> Tensor:
        return functions.add(self, other)

    def __radd__(self, other: Any) -> Tensor:
        return functions.add(other, self)

    def __sub__(self, other: Any) -> Tensor:
        return functions.subtract(self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return functions.subtract(other, self)

    def __mul__(self, other: Any) -> Tensor:
        return functions.multiply(self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return functions.multiply(other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return functions.divide(self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return functions.divide(other, self)

    def __floordiv__(self, other: Any) -> Tensor:
        return functions.floor_divide(self, other)

    def __rfloordiv__(self, other: Any) -> Tensor:
        return functions.floor_divide(other, self)

    def __mod__(self, other: Any) -> Tensor:
        return functions.remainder(self, other)

    def __rmod__(self, other: Any) -> Tensor:
        return functions.remainder(other, self)

    def __pow__(self, other: Any) -> Tensor:
        return functions.power(self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return functions.power(other, self)

    def __matmul__(self, other: Any) -> Tensor:
        return functions.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return functions.matmul(other, self)

    def __neg__(self) -> Tensor:
        return functions.negative(self)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Tensor:
        return functions.abs(self)

    # ---- comparison and bits

    def __eq__(self, other: object) -> Any:
        return functions.equal(self, other)

    def __ne__(self, other: object) -> Any:
        return functions.not_equal(self, other)

    def __lt__(self, other: Any) -> Tensor:
        return functions.less(self, other)

    def __le__(self, other: Any) -> Tensor:
        return functions.less_equal(self, other)

    def __gt__(self, other: Any) -> Tensor:
        return functions.greater(self, other)

    def __ge__(self, other: Any) -> Tensor:
        return functions.greater_equal(self, other)

    def __and__(self, other: Any) -> Tensor:
        return functions.bitwise_and(self, other)

    def __rand__(self, other: Any) -> Tensor:
        return functions.bitwise_and(other, self)

    def __or__(self, other: Any) -> Tensor:
        return functions.bitwise_or(self, other)

    def __ror__(self, other: Any) -> Tensor:
        return functions.bitwise_or(other, self)

    def __xor__(self, other: Any) -> Tensor:
        return functions.bitwise_xor(self, other)

    def __rxor__(self, other: Any) -> Tensor:
        return functions.bitwise_xor(other, self)

    def __lshift__(self, other: Any) -> Tensor:
        return functions.left_shift(self, other)

    def __rshift__(self, other: Any) -> Tensor:
        return functions.right_shift(self, other)

    def __hash__(self) -> int:
        return id(self)

    def __invert__(self) -> Tensor:
        return functions.bitwise_not(self)

    def __getitem__(self, index: Any) -> Tensor:
        return layout.getitem(self, index)

    # ---- methods

    @property
    def T(self) -> Tensor:  # noqa: N802  # NumPy's name
        """The axes in reverse order."""
        return functions.transpose(self)

    def astype(self, dtype: Any) -> Tensor:
        """The values in another dtype."""
        return functions.astype(self, dtype)

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """See ``chainrule.sum``."""
        return functions.sum(self, axis, keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """See ``chainrule.mean``."""
        return functions.mean(self, axis, keepdims)

    def var(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """See ``chainrule.var``."""
        return functions.var(self, axis, keepdims)

    def std(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """See ``chainrule.std``."""
        return functions.std(self, axis, keepdims)

    def prod(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """See ``chainrule.prod``."""
        return functions.prod(self, axis, keepdims)

    def max(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """See ``chainrule.max``."""
        return functions.max(self, axis, keepdims)

    def min(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """See ``chainrule.min``."""
        return functions.min(self, axis, keepdims)

    def any(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """See ``chainrule.any``."""
        return functions.any(self, axis, keepdims)

    def all(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """See ``chainrule.all``."""
        return functions.all(self, axis, keepdims)

    def argmax(self, axis: int = -1) -> Tensor:
        """See ``chainrule.argmax``."""
        return functions.argmax(self, axis)

    def argmin(self, axis: int = -1) -> Tensor:
        """See ``chainrule.argmin``."""
        return functions.argmin(self, axis)

    def cumsum(self, axis: int = -1) -> Tensor:
        """See ``chainrule.cumsum``."""
        return functions.cumsum(self, axis)

    def reshape(self, *shape: Any) -> Tensor:
        """See ``chainrule.reshape``; the lengths may be given one by one."""
        return functions.reshape(self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: int) -> Tensor:
        """See ``chainrule.transpose``; the axes may be given one by one."""
        order: Any = axes[0] if len(axes) == 1 else axes
        return functions.transpose(self, order or None)

    def squeeze(self, axis: Axis = None) -> Tensor:
        """See ``chainrule.squeeze``."""
        return functions.squeeze(self, axis)

    def expand_dims(self, axis: int) -> Tensor:
        """See ``chainrule.expand_dims``."""
        return functions.expand_dims(self, axis)

    def clip(self, low: Any = None, high: Any = None) -> Tensor:
        """See ``chainrule.clip``."""
        return functions.clip(self, low, high)
