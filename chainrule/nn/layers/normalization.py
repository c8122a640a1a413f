"""Layers that bring their inputs to mean 0 and variance 1, over the batch or within an example, and
those that do it, or undo it, by given numbers.
"""

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np

from chainrule.errors import ArgumentError, ShapeError, StateError
from chainrule.nn import constraints, initializers, regularizers
from chainrule.nn.configurable import also_accept
from chainrule.nn.layer import Layer, LayerOptions, Shape
from chainrule.nn.registry import register
from chainrule.nn.validate import (
    axes,
    finite_numbers,
    normal_axes,
    number,
    truth,
    whole_number,
    wrong_input_shape,
)
from chainrule.tensor import Tensor, Variable, functions


class NormalizationOptions(LayerOptions, total=False):
    """The arguments that both normalisations take besides axis and epsilon."""

    center: bool
    scale: bool
    beta_initializer: Any
    gamma_initializer: Any
    beta_regularizer: Any
    gamma_regularizer: Any
    beta_constraint: Any
    gamma_constraint: Any


class AlongAxes(Layer):
    """Parameters along some axes of the input."""

    takes = "one"
    axis: int | tuple[int, ...]

    def _find_axes(self, input_shape: Shape) -> None:
        """Keep which axes they are, counted from the front, and their sizes."""
        self._parameter_axes = normal_axes(self.where, self.axis, input_shape)
        shape = []
        for axis in self._parameter_axes:
            size = input_shape[axis]
            if size is None:
                raise wrong_input_shape(
                    self.where, input_shape, "known sizes on the normalised axes",
                    "choose an axis other than the batch axis",
                )  # fmt: skip
            shape.append(size)
        self._parameter_shape = tuple(shape)
        self._rank = len(input_shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        normal_axes(self.where, self.axis, input_shape)
        return input_shape

    def _checked(self, inputs: Tensor) -> Tensor:
        sizes = tuple(inputs.shape[a] for a in self._parameter_axes if a < inputs.ndim)
        if inputs.ndim != self._rank or sizes != self._parameter_shape:
            expected = ["batch", *["..."] * (self._rank - 1)]
            for axis, size in zip(self._parameter_axes, self._parameter_shape, strict=True):
                expected[axis] = str(size)
            raise wrong_input_shape(
                self.where, inputs.shape, f"({', '.join(expected)})",
                "give it inputs like those of the first call, or make a new layer",
            )  # fmt: skip
        return inputs if inputs.dtype.kind == "f" else inputs.astype(self.dtype)

    def _spread(self, parameter: Tensor) -> Tensor:
        """The parameter in the rank of the input, so that it broadcasts along its own axes."""
        shape = [1] * self._rank
        for axis, size in zip(self._parameter_axes, self._parameter_shape, strict=True):
            shape[axis] = size
        return parameter.reshape(tuple(shape))


class _Normalization(AlongAxes):
    """Axes, epsilon, and the learned scale gamma and shift beta."""

    @also_accept(eps="epsilon")
    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        epsilon: float = 1e-3,
        *,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.axis = axes(self.name, axis)
        self.epsilon = number(self.name, "epsilon", epsilon, minimum=0.0)
        self.center = truth(self.name, "center", center)
        self.scale = truth(self.name, "scale", scale)
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)

    def build(self, input_shape: Shape) -> None:
        self._find_axes(input_shape)
        shape = self._parameter_shape
        if self.scale:
            self.gamma = self.add_weight(
                "gamma",
                shape,
                self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
            )
        if self.center:
            self.beta = self.add_weight(
                "beta",
                shape,
                self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
            )

    def _scaled(self, inputs: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        factor = functions.rsqrt(variance + self.epsilon)
        outputs = (inputs - mean) * (factor * self._spread(self.gamma) if self.scale else factor)
        return outputs + self._spread(self.beta) if self.center else outputs


@register
class BatchNormalization(_Normalization):
    """Normalise each feature over the batch in training, by running statistics otherwise.

    y = gamma * (x - mean) / sqrt(variance + epsilon) + beta

    In training mean and variance (the mean of squared deviations) are those of the batch, over all
    axes but ``axis``, and the running statistics follow them:
    moving = momentum * moving + (1 - momentum) * batch. Otherwise the running statistics are used.
    While ``trainable`` is False the layer always works as outside training.

    Shapes: x (N, ..., features), y like x, gamma, beta and running statistics (features,).

    Args:
        axis: the axis of the features. Default -1.
        momentum: the share of the running statistics that is kept. Default 0.99.
        epsilon: keeps the root away from zero; also ``eps``. Default 0.001.
        center: whether to add beta. Default True.
        scale: whether to multiply by gamma. Default True.
        beta_initializer: default "zeros".
        gamma_initializer: default "ones".
        moving_mean_initializer: default "zeros".
        moving_variance_initializer: default "ones".
        beta_regularizer: default None.
        gamma_regularizer: default None.
        beta_constraint: default None.
        gamma_constraint: default None.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ShapeError: another number of features than in the first call; a mask of the wrong shape.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.layers.BatchNormalization()
        >>> layer([[0.0], [2.0]], training=True).numpy().round(2).tolist()
        [[-1.0], [1.0]]
        >>> layer.moving_mean.numpy().round(4).tolist()
        [0.009999999776482582]

    ``call`` takes ``mask``, of shape (N, ...) without the feature axis: positions where it is False
    do not count in mean and variance.

    Different from PyTorch: momentum is the share that is kept (PyTorch's 0.1 is 0.9 here), the
    running variance has no factor n / (n - 1), epsilon is 1e-3 (PyTorch 1e-5).
    Reference: Ioffe and Szegedy, "Batch normalization", 2015.
    """

    @also_accept(eps="epsilon")
    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        *,
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        **options: Unpack[NormalizationOptions],
    ) -> None:
        super().__init__(
            whole_number("batch_normalization", "axis", axis, minimum=-64), epsilon, **options
        )
        self.momentum = number(self.name, "momentum", momentum, minimum=0.0, below=1.0)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)

    def build(self, input_shape: Shape) -> None:
        super().build(input_shape)
        shape = self._parameter_shape
        self.moving_mean = self.add_weight(
            "moving_mean", shape, self.moving_mean_initializer, trainable=False
        )
        self.moving_variance = self.add_weight(
            "moving_variance", shape, self.moving_variance_initializer, trainable=False
        )

    def call(self, inputs: Tensor, training: bool = False, mask: Tensor | None = None) -> Tensor:
        inputs = self._checked(inputs)
        if not (training and self.trainable):
            mean, variance = self._spread(self.moving_mean), self._spread(self.moving_variance)
            return self._scaled(inputs, mean, variance)
        over = tuple(a for a in range(self._rank) if a not in self._parameter_axes)
        if mask is None:
            mean = functions.mean(inputs, over, keepdims=True)
            variance = functions.mean(functions.square(inputs - mean), over, keepdims=True)
            self._follow(self.moving_mean, mean, None)
            self._follow(self.moving_variance, variance, None)
        else:
            mean, variance = self._masked_statistics(inputs, mask, over)
        return self._scaled(inputs, mean, variance)

    def _masked_statistics(
        self, inputs: Tensor, mask: Tensor, over: tuple[int, ...]
    ) -> tuple[Tensor, Tensor]:
        mask = functions.astype(mask, "bool")
        feature_axis = self._parameter_axes[0]
        positions = tuple(n for a, n in enumerate(inputs.shape) if a != feature_axis)
        if mask.shape != positions:
            raise ShapeError(
                self.where, "wrong shape of the mask", got=mask.shape, expected=positions
            )
        mask = functions.expand_dims(mask, feature_axis)
        count = functions.sum(mask.astype(self.dtype), over, keepdims=True)
        share = functions.divide(1, functions.maximum(count, 1))
        kept = functions.where(mask, inputs, 0)
        mean = functions.sum(kept, over, keepdims=True) * share
        deviations = functions.where(mask, inputs - mean, 0)
        variance = functions.sum(functions.square(deviations), over, keepdims=True) * share
        some = functions.greater(count, 0)
        self._follow(self.moving_mean, mean, some)
        self._follow(self.moving_variance, variance, some)
        return mean, variance

    def _follow(self, moving: Variable, batch: Tensor, some: Tensor | None) -> None:
        """Move a running statistic towards the batch's; not where no position counted."""
        new = functions.stop_gradient(batch).reshape(self._parameter_shape)
        moved = moving * self.momentum + new * (1.0 - self.momentum)
        if some is not None:
            moved = functions.where(some.reshape((1,) * len(self._parameter_shape)), moved, moving)
        moving.assign(moved)


@register
class LayerNormalization(_Normalization):
    """Normalise each example over its own features.

    y = gamma * (x - mean) / sqrt(variance + epsilon) + beta, mean and variance over ``axis``

    Shapes: x (N, ..., features), y like x, gamma and beta (features,).

    Args:
        axis: the axis, or axes, over which an example is normalised. Default -1.
        epsilon: keeps the root away from zero; also ``eps``. Default 0.001.
        center: whether to add beta. Default True.
        scale: whether to multiply by gamma. Default True.
        beta_initializer: default "zeros".
        gamma_initializer: default "ones".
        beta_regularizer: default None.
        gamma_regularizer: default None.
        beta_constraint: default None.
        gamma_constraint: default None.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ShapeError: another number of features than in the first call.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.LayerNormalization()([[0.0, 2.0]]).numpy().round(2).tolist()
        [[-1.0, 1.0]]

    Different from PyTorch: axes are named, not given as a shape; epsilon is 1e-3 (PyTorch 1e-5).
    Reference: Ba, Kiros and Hinton, "Layer normalization", 2016.
    """

    def call(self, inputs: Tensor) -> Tensor:
        inputs = self._checked(inputs)
        mean = functions.mean(inputs, self._parameter_axes, keepdims=True)
        centred = functions.square(inputs - mean)
        return self._scaled(
            inputs, mean, functions.mean(centred, self._parameter_axes, keepdims=True)
        )


@register
class GroupNormalization(_Normalization):
    """Normalise each example over all places and a group of channels.

    y = gamma * (x - mean) / sqrt(variance + epsilon) + beta, mean and variance over everything of
    an example that is in the same group of channels

    Shapes: x (N, ..., channels), y like x, gamma and beta (channels,).

    Args:
        groups: number of groups; -1 for one group a channel (instance normalisation). Default 32.
        axis: the axis of the channels. Default -1.
        epsilon: keeps the root away from zero; also ``eps``. Default 0.001.
        options: ``center``, ``scale``, ``beta_initializer``, ``gamma_initializer``,
            ``beta_regularizer``, ``gamma_regularizer``, ``beta_constraint``, ``gamma_constraint``,
            ``name``, ``dtype``, ``trainable``, as in `LayerNormalization`.

    Raises:
        ShapeError: channels that do not divide into the groups, or another number of them than in
            the first call.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.layers.GroupNormalization(groups=2)
        >>> layer([[0.0, 2.0, 5.0, 7.0]]).numpy().round(2).tolist()
        [[-1.0, 1.0, -1.0, 1.0]]

    Different from PyTorch: the number of channels follows from the input, channels last; epsilon is
    1e-3 (PyTorch 1e-5).
    Reference: Wu and He, "Group normalization", 2018.
    """

    @also_accept(num_groups="groups", eps="epsilon")
    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        **options: Unpack[NormalizationOptions],
    ) -> None:
        super().__init__(
            whole_number("group_normalization", "axis", axis, minimum=-64), epsilon, **options
        )
        self.groups = -1 if groups == -1 else whole_number(self.name, "groups", groups)

    def build(self, input_shape: Shape) -> None:
        super().build(input_shape)
        channels = self._parameter_shape[0]
        if self.groups != -1 and channels % self.groups:
            raise ShapeError(
                self.where, "channels do not divide into the groups",
                got=f"{channels} channels, groups={self.groups}",
                expected="groups that divide the channels",
            )  # fmt: skip

    def call(self, inputs: Tensor) -> Tensor:
        inputs = self._checked(inputs)
        shape, axis = inputs.shape, self._parameter_axes[0]
        groups = shape[axis] if self.groups == -1 else self.groups
        split = (*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])
        grouped = inputs.reshape(split)
        over = tuple(a for a in range(1, len(split)) if a != axis)
        mean = functions.mean(grouped, over, keepdims=True)
        variance = functions.mean(functions.square(grouped - mean), over, keepdims=True)
        normal = (grouped - mean) * functions.rsqrt(variance + self.epsilon)
        outputs = normal.reshape(shape)
        if self.scale:
            outputs = outputs * self._spread(self.gamma)
        return outputs + self._spread(self.beta) if self.center else outputs


@register
class Normalization(AlongAxes):
    """Standardise each feature by a given mean and variance, which training does not change.

    y = (x - mean) / sqrt(variance)

    Shapes: x (N, ..., features), y like x, mean and variance (features,).

    Args:
        mean: a number, or one for each feature. Default None: ``adapt`` finds it.
        variance: likewise, at least 0. A feature with variance 0 is only shifted.
        axis: the axis, or axes, of the features. Default -1.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ArgumentError: mean without variance, or numbers that are not finite or, as a variance,
            negative.
        ShapeError: another number of features than mean and variance have.
        StateError: called before mean and variance are known.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.layers.Normalization().adapt([[0.0, 5.0], [2.0, 5.0]])
        >>> layer([[0.0, 5.0], [4.0, 6.0]]).numpy().tolist()
        [[-1.0, 0.0], [3.0, 1.0]]

    Different from Keras: mean and variance come first; ``adapt`` returns the layer; a layer without
    them refuses its inputs, where Keras passes them on; variance 0 counts as 1, not as 1e-14.
    """

    def __init__(
        self,
        mean: Any = None,
        variance: Any = None,
        axis: int | Sequence[int] = -1,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.axis = axes(self.name, axis)
        self.mean = None if mean is None else finite_numbers(self.name, "mean", mean)
        self.variance = (
            None if variance is None else finite_numbers(self.name, "variance", variance)
        )
        if (self.mean is None) != (self.variance is None):
            raise ArgumentError(
                self.name, "mean and variance belong together",
                got="only one of them", expected="both, or neither",
            )  # fmt: skip
        if self.variance is not None and (self.variance < 0).any():
            raise ArgumentError(
                self.name, "bad variance", got=f"{self.variance.min():g}", expected="at least 0"
            )

    def adapt(self, x: Any) -> "Normalization":
        """Take mean and variance (the mean of squared deviations) from some rows.

        Args:
            x: rows such as the layer will get, (N, ..., features); those of the training set only.

        Returns:
            The layer itself.

        Raises:
            ArgumentError: no rows, or values that are not finite.
            ShapeError: another number of features than before.
        """
        rows = finite_numbers(self.where, "rows", x)
        kept = normal_axes(self.where, self.axis, rows.shape)
        over = tuple(a for a in range(rows.ndim) if a not in kept)
        mean, variance = rows.mean(over), rows.var(over)
        if self.built:
            if mean.shape != self._parameter_shape:
                raise ShapeError(
                    self.where, "another number of features than before",
                    got=mean.shape, expected=self._parameter_shape,
                )  # fmt: skip
            for variable, value in ((self._mean, mean), (self._variance, variance)):
                variable.assign(value.astype(self.dtype))
                self._initializers[variable.name] = initializers.Constant(value)
        self.mean, self.variance = mean, variance
        return self

    def build(self, input_shape: Shape) -> None:
        self._find_axes(input_shape)
        if self.mean is None or self.variance is None:
            raise StateError(
                self.where, "mean and variance are not known",
                fix="call adapt(x) with the training rows, or give mean and variance",
            )  # fmt: skip
        for name, value in (("mean", self.mean), ("variance", self.variance)):
            if value.ndim and value.shape != self._parameter_shape:
                raise ShapeError(
                    self.where, f"{name} does not fit the features",
                    got=value.shape, expected=self._parameter_shape,
                )  # fmt: skip
        shape = self._parameter_shape
        first = initializers.Constant
        self._mean = self.add_weight("mean", shape, first(self.mean), trainable=False)
        self._variance = self.add_weight("variance", shape, first(self.variance), trainable=False)

    def call(self, inputs: Tensor) -> Tensor:
        inputs = self._checked(inputs)
        variance = functions.where(functions.greater(self._variance, 0), self._variance, 1)
        return (inputs - self._spread(self._mean)) * self._spread(functions.rsqrt(variance))


@register
class Rescaling(Layer):
    """Multiply by a given number and add another; training changes neither.

    y = x * scale + offset

    Shapes: x (N, ...), y like x; scale and offset: numbers, or arrays that broadcast to x.

    Args:
        scale: what to multiply by: 1 / 255 for pixels; the deviation of the targets behind a
            network that was trained on standardised ones.
        offset: what to add. Default 0.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ArgumentError: numbers that are not finite.
        ShapeError: they do not broadcast to the shape of x.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.Rescaling(2.0, offset=1.0)([[0.0, 3.0]]).numpy().tolist()
        [[1.0, 7.0]]

    Reference: Keras' layer of this name.
    """

    takes = "one"

    def __init__(self, scale: Any, offset: Any = 0.0, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.scale = finite_numbers(self.name, "scale", scale)
        self.offset = finite_numbers(self.name, "offset", offset)

    def call(self, inputs: Tensor) -> Tensor:
        self.compute_output_shape(inputs.shape)
        inputs = inputs if inputs.dtype.kind == "f" else inputs.astype(self.dtype)
        return inputs * self.scale.astype(inputs.dtype) + self.offset.astype(inputs.dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        one_row = (1, *(1 if size is None else size for size in input_shape[1:]))
        for name, value in (("scale", self.scale), ("offset", self.offset)):
            try:
                fits = np.broadcast_shapes(value.shape, one_row) == one_row
            except ValueError:
                fits = False
            if not fits:
                raise wrong_input_shape(
                    self.where, input_shape, f"a shape that {name}, {value.shape}, broadcasts to",
                    f"give one number as {name}, or one for each feature",
                )  # fmt: skip
        return input_shape
