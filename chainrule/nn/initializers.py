"""Initializers: the first values of a variable, drawn from a key so that a seed repeats them.

Shapes are those of kernels here: (inputs, outputs) for a dense layer, (..., inputs, outputs) with
window sizes in front for others. ``fan_in`` is the number of inputs of one output unit,
``fan_out`` the number of outputs of one input unit.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from chainrule.dtypes import as_dtype
from chainrule.errors import ArgumentError, ShapeError
from chainrule.nn.configurable import Configurable, resolve
from chainrule.nn.naming import snake_case
from chainrule.nn.registry import register
from chainrule.nn.seeding import next_seed
from chainrule.nn.validate import number, sizes, whole_number
from chainrule.tensor import Tensor, random, tensor
from chainrule.tensor.state import outside_traces

# The standard deviation of a standard normal distribution cut off at -2 and 2.
TRUNCATED_STANDARD_DEVIATION = 0.87962566103423978


class Initializer(Configurable):
    """Base of the initializers; a subclass gives ``draw``.

    Args:
        seed: a fixed seed: the same values at every call. Default None: the values follow the
            model's seed.

    Example:
        >>> import chainrule as cr
        >>> cr.initializers.get("glorot_uniform")((3, 4)).shape
        (3, 4)
    """

    kind: ClassVar[str] = "initializer"
    seed: int | None = None

    def __call__(
        self, shape: Sequence[int], dtype: str = "float32", *, key: Tensor | None = None
    ) -> Tensor:
        """The first values of a variable.

        Args:
            shape: the variable's shape.
            dtype: its dtype. Default float32.
            key: the key to draw from. Default None: a new one. A fixed ``seed`` goes first.
        """
        if self.seed is not None:
            key = random.key(self.seed)
        elif key is None:
            key = random.key(next_seed())
        return self.draw(sizes(self.where, "shape", shape, minimum=0), as_dtype(dtype).name, key)

    @property
    def where(self) -> str:
        """The name under which errors speak of this initializer."""
        return snake_case(type(self).__name__)

    def draw(self, shape: tuple[int, ...], dtype: str, key: Tensor) -> Tensor:
        """The values, for a checked shape and dtype."""
        raise NotImplementedError

    def _set_seed(self, seed: int | None) -> None:
        self.seed = None if seed is None else whole_number(self.where, "seed", seed, minimum=0)


@register
class Zeros(Initializer):
    """All zeros.

    Example:
        >>> import chainrule as cr
        >>> cr.initializers.Zeros()((2,)).numpy().tolist()
        [0.0, 0.0]
    """

    def draw(self, shape: tuple[int, ...], dtype: str, key: Tensor) -> Tensor:
        return tensor(np.zeros(shape, dtype))


@register
class Ones(Initializer):
    """All ones.

    Example:
        >>> import chainrule as cr
        >>> cr.initializers.Ones()((2,)).numpy().tolist()
        [1.0, 1.0]
    """

    def draw(self, shape: tuple[int, ...], dtype: str, key: Tensor) -> Tensor:
        return tensor(np.ones(shape, dtype))


@register
class Constant(Initializer):
    """One value everywhere, or an array of values.

    Args:
        value: a number, or an array that broadcasts to the variable's shape. Default 0.0.

    Raises:
        ShapeError: the array does not broadcast to the shape.

    Example:
        >>> import chainrule as cr
        >>> cr.initializers.Constant(0.5)((2,)).numpy().tolist()
        [0.5, 0.5]
    """

    def __init__(self, value: Any = 0.0) -> None:
        try:
            array = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):
            array = np.asarray(math.nan)
        if not np.isfinite(array).all():
            raise ArgumentError(
                "constant", "bad value", got=repr(value)[:80], expected="finite numbers"
            )
        self.value = float(array) if array.ndim == 0 else array

    def draw(self, shape: tuple[int, ...], dtype: str, key: Tensor) -> Tensor:
        try:
            values = np.broadcast_to(np.asarray(self.value), shape)
        except ValueError:
            raise ShapeError(
                "constant",
                "the values do not fit the variable",
                got=np.shape(self.value),
                expected=shape,
            ) from None
        return tensor(values.astype(dtype))


@register
class RandomUniform(Initializer):
    """Evenly spread between two bounds.

    Args:
        minval: lower bound. Default -0.05, as in Keras.
        maxval: upper bound. Default 0.05.
        seed: a fixed seed; default None.

    Example:
        >>> import chainrule as cr
        >>> cr.initializers.RandomUniform(0.0, 1.0, seed=1)((2, 2)).shape
        (2, 2)
    """

    def __init__(
        self, minval: float = -0.05, maxval: float = 0.05, *, seed: int | None = None
    ) -> None:
        self.minval = number(self.where, "minval", minval)
        self.maxval = number(self.where, "maxval", maxval, minimum=self.minval)
        self._set_seed(seed)

    def draw(self, shape: tuple[int, ...], dtype: str, key: Tensor) -> Tensor:
        return random.uniform(key, shape, self.minval, self.maxval, dtype=dtype)


class _Gaussian(Initializer):
    """A mean and a standard deviation."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, *, seed: int | None = None) -> None:
        self.mean = number(self.where, "mean", mean)
        self.stddev = number(self.where, "stddev", stddev, minimum=0.0)
        self._set_seed(seed)


@register
class RandomNormal(_Gaussian):
    """Normally distributed.

    Args:
        mean: the mean. Default 0.0.
        stddev: the standard deviation. Default 0.05, as in Keras.
        seed: a fixed seed; default None.

    Example:
        >>> import chainrule as cr
        >>> cr.initializers.RandomNormal(stddev=0.1, seed=1)((2, 2)).shape
        (2, 2)
    """

    def draw(self, shape: tuple[int, ...], dtype: str, key: Tensor) -> Tensor:
        return random.normal(key, shape, self.mean, self.stddev, dtype=dtype)


@register
class TruncatedNormal(_Gaussian):
    """Normally distributed, nothing beyond two standard deviations from the mean.

    Args:
        mean: the mean. Default 0.0.
        stddev: the standard deviation before the cut. Default 0.05, as in Keras.
        seed: a fixed seed; default None.

    Example:
        >>> import chainrule as cr
        >>> cr.initializers.TruncatedNormal(stddev=0.1, seed=1)((2, 2)).shape
        (2, 2)
    """

    def draw(self, shape: tuple[int, ...], dtype: str, key: Tensor) -> Tensor:
        return random.truncated_normal(key, shape, self.mean, self.stddev, dtype=dtype)


class _VarianceScaling(Initializer):
    """Mean 0 and a variance that follows from the number of inputs and outputs."""

    def __init__(self, *, seed: int | None = None) -> None:
        self._set_seed(seed)

    def variance(self, fan_in: float, fan_out: float) -> float:
        """The variance for these numbers of inputs and outputs."""
        raise NotImplementedError


class _Uniform(_VarianceScaling):
    def draw(self, shape: tuple[int, ...], dtype: str, key: Tensor) -> Tensor:
        bound = math.sqrt(3.0 * self.variance(*fans(shape)))
        return random.uniform(key, shape, -bound, bound, dtype=dtype)


class _Normal(_VarianceScaling):
    def draw(self, shape: tuple[int, ...], dtype: str, key: Tensor) -> Tensor:
        stddev = math.sqrt(self.variance(*fans(shape))) / TRUNCATED_STANDARD_DEVIATION
        return random.truncated_normal(key, shape, 0.0, stddev, dtype=dtype)


class _Glorot(_VarianceScaling):
    def variance(self, fan_in: float, fan_out: float) -> float:
        return 2.0 / max(1.0, fan_in + fan_out)


class _He(_VarianceScaling):
    def variance(self, fan_in: float, fan_out: float) -> float:
        return 2.0 / max(1.0, fan_in)


class _Lecun(_VarianceScaling):
    def variance(self, fan_in: float, fan_out: float) -> float:
        return 1.0 / max(1.0, fan_in)


@register
class GlorotUniform(_Glorot, _Uniform):
    """Even spread with variance 2 / (fan_in + fan_out); the default for kernels. Also called
    Xavier.

    U(-b, b), b = sqrt(6 / (fan_in + fan_out))

    Args:
        seed: a fixed seed; default None.

    Example:
        >>> import chainrule as cr
        >>> bool((abs(cr.initializers.GlorotUniform()((3, 3)).numpy()) <= 1).all())
        True

    Different from PyTorch: its Linear draws from U(-1/sqrt(fan_in), 1/sqrt(fan_in)).
    Reference: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
        networks", 2010.
    """


@register
class GlorotNormal(_Glorot, _Normal):
    """Truncated normal with variance 2 / (fan_in + fan_out). Also called Xavier.

    Args:
        seed: a fixed seed; default None.

    Example:
        >>> import chainrule as cr
        >>> cr.initializers.GlorotNormal()((3, 3)).shape
        (3, 3)

    Different from PyTorch: the tails beyond two standard deviations are cut, as in Keras.
    Reference: Glorot and Bengio, 2010.
    """


@register
class HeUniform(_He, _Uniform):
    """Even spread with variance 2 / fan_in, for relu networks. Also called Kaiming.

    U(-b, b), b = sqrt(6 / fan_in)

    Args:
        seed: a fixed seed; default None.

    Example:
        >>> import chainrule as cr
        >>> cr.initializers.HeUniform()((3, 3)).shape
        (3, 3)

    Reference: He et al., "Delving deep into rectifiers", 2015.
    """


@register
class HeNormal(_He, _Normal):
    """Truncated normal with variance 2 / fan_in, for relu networks. Also called Kaiming.

    Args:
        seed: a fixed seed; default None.

    Example:
        >>> import chainrule as cr
        >>> cr.initializers.HeNormal()((3, 3)).shape
        (3, 3)

    Different from PyTorch: the tails beyond two standard deviations are cut, as in Keras.
    Reference: He et al., "Delving deep into rectifiers", 2015.
    """


@register
class LecunUniform(_Lecun, _Uniform):
    """Even spread with variance 1 / fan_in.

    U(-b, b), b = sqrt(3 / fan_in)

    Args:
        seed: a fixed seed; default None.

    Example:
        >>> import chainrule as cr
        >>> cr.initializers.LecunUniform()((3, 3)).shape
        (3, 3)

    Reference: LeCun et al., "Efficient backprop", 1998.
    """


@register
class LecunNormal(_Lecun, _Normal):
    """Truncated normal with variance 1 / fan_in; the one that selu was made for.

    Args:
        seed: a fixed seed; default None.

    Example:
        >>> import chainrule as cr
        >>> cr.initializers.LecunNormal()((3, 3)).shape
        (3, 3)

    Reference: LeCun et al., 1998; Klambauer et al., "Self-normalizing neural networks", 2017.
    """


@register
class Orthogonal(Initializer):
    """A matrix whose columns (or rows, where these are fewer) are orthogonal and of one length.

    W^T W = gain^2 I, after all axes but the last are joined

    Args:
        gain: the length of each column or row. Default 1.0.
        seed: a fixed seed; default None.

    Raises:
        ShapeError: the variable has fewer than two axes.

    Example:
        >>> import chainrule as cr
        >>> w = cr.initializers.Orthogonal()((4, 2), "float64").numpy()
        >>> bool(np.allclose(w.T @ w, np.eye(2)))
        True

    Reference: Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear
        networks", 2014.
    """

    def __init__(self, gain: float = 1.0, *, seed: int | None = None) -> None:
        self.gain = number(self.where, "gain", gain)
        self._set_seed(seed)

    def draw(self, shape: tuple[int, ...], dtype: str, key: Tensor) -> Tensor:
        if len(shape) < 2:
            raise ShapeError("orthogonal", "too few axes", got=shape, expected="at least two axes")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        long, short = max(rows, columns), min(rows, columns)
        normal = random.normal(key, (long, short), dtype="float64").numpy()
        matrix, triangle = np.linalg.qr(normal)
        # With the signs of the triangle's diagonal the draw is uniform over all such matrices.
        matrix = matrix * np.where(np.diagonal(triangle) < 0, -1.0, 1.0)
        matrix = matrix if rows >= columns else matrix.T
        return tensor((self.gain * matrix).reshape(shape).astype(dtype))


@register
class Identity(Initializer):
    """Ones on the diagonal of a matrix, zeros elsewhere.

    Args:
        gain: the value on the diagonal. Default 1.0.

    Raises:
        ShapeError: the variable has not exactly two axes.

    Example:
        >>> import chainrule as cr
        >>> cr.initializers.Identity()((2, 2)).numpy().tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = number(self.where, "gain", gain)

    def draw(self, shape: tuple[int, ...], dtype: str, key: Tensor) -> Tensor:
        if len(shape) != 2:
            raise ShapeError("identity", "not a matrix", got=shape, expected="two axes")
        return tensor((self.gain * np.eye(*shape)).astype(dtype))


ALIASES = {
    "zero": "zeros", "one": "ones", "uniform": "random_uniform", "normal": "random_normal",
    "xavier_uniform": "glorot_uniform", "xavier_normal": "glorot_normal",
    "kaiming_uniform": "he_uniform", "kaiming_normal": "he_normal", "eye": "identity",
}  # fmt: skip


def fans(shape: Sequence[int]) -> tuple[float, float]:
    """The numbers of inputs and outputs of a kernel: ``(fan_in, fan_out)``.

    >>> fans((3, 4)), fans((5, 5, 3, 8))
    ((3.0, 4.0), (75.0, 200.0))
    """
    if len(shape) < 2:
        width = float(shape[0]) if shape else 1.0
        return width, width
    window = math.prod(shape[:-2])
    return float(window * shape[-2]), float(window * shape[-1])


def get(identifier: object) -> Callable[..., Any]:
    """The initializer that a name, an object, a class or a function means.

    Args:
        identifier: a name in any usual spelling ("glorot_uniform", "HeNormal", "xavier_normal"),
            an ``Initializer``, its class, or a function ``f(shape, dtype)`` that returns the
            values.

    Raises:
        UnknownNameError: no initializer has this name.
        ArgumentError: the argument is none of these.

    Example:
        >>> import chainrule as cr
        >>> cr.initializers.get("kaiming_normal")
        HeNormal(seed=None)
    """
    found: Callable[..., Any] | None = resolve(identifier, Initializer, ALIASES)
    if found is None:
        raise ArgumentError(
            "initializer", "bad initializer", got="None", expected="a name or an Initializer"
        )
    return found


def initial_values(
    initializer: Callable[..., Any], shape: tuple[int, ...], dtype: str, seed: int
) -> Tensor:
    """The values that ``initializer`` gives under ``seed``."""
    with outside_traces():
        return drawn(initializer, shape, dtype, random.key(seed))


def drawn(
    initializer: Callable[..., Any], shape: tuple[int, ...], dtype: str, key: Tensor
) -> Tensor:
    """The values that ``initializer`` gives with ``key``, which a function need not take."""
    takes_key = isinstance(initializer, Initializer) or (
        "key" in inspect.signature(initializer).parameters
    )
    values = tensor(initializer(shape, dtype, **({"key": key} if takes_key else {})))
    if values.shape != shape:
        raise ShapeError("initializer", "wrong shape of values", got=values.shape, expected=shape)
    return values.astype(dtype)
