"""Layers that add chance during training: Dropout, SpatialDropout2D and GaussianNoise."""

from typing import Unpack

from chainrule.nn.configurable import also_accept
from chainrule.nn.layer import Layer, LayerOptions, Shape
from chainrule.nn.layers.spatial import spatial_axes
from chainrule.nn.registry import register
from chainrule.nn.seeding import check_seed
from chainrule.nn.validate import number
from chainrule.tensor import Tensor, functions, random


class RandomLayer(Layer):
    """Base of layers with a random generator that changes nothing outside training."""

    takes = "one"
    seed: int | None

    def build(self, input_shape: Shape) -> None:
        self.generator = self.add_generator()

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def _set_seed(self, seed: int | None) -> None:
        self.seed = None if seed is None else check_seed(self.name, seed)

    def _floating(self, inputs: Tensor) -> Tensor:
        return inputs if inputs.dtype.kind == "f" else inputs.astype(self.dtype)


@register
class Dropout(RandomLayer):
    """Set a share of the inputs to zero during training, and scale the others up to the same mean.

    y = x * m / (1 - rate), m one with probability 1 - rate, else zero; y = x outside training

    Shapes: x (N, ...), y (N, ...).

    Args:
        rate: the share that is dropped, at least 0 and less than 1; also accepted as ``p``.
        seed: a fixed seed. Default None: it follows from the model's seed.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ArgumentError: the rate is out of range.

    Example:
        >>> import chainrule as cr
        >>> y = cr.layers.Dropout(0.5, seed=1)(cr.ones((2, 4)), training=True).numpy()
        >>> sorted(set(y.ravel().tolist()))
        [0.0, 2.0]

    Reference: Srivastava et al., "Dropout: a simple way to prevent neural networks from
    overfitting", 2014.
    """

    @also_accept(p="rate")
    def __init__(
        self, rate: float, *, seed: int | None = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**options)
        self.rate = number(self.name, "rate", rate, minimum=0.0, below=1.0)
        self._set_seed(seed)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        if not training or self.rate == 0.0:
            return inputs
        inputs = self._floating(inputs)
        shape = self._drawn_shape(inputs)
        kept = random.bernoulli(self.generator.next_key(), 1.0 - self.rate, shape)
        return functions.where(kept, inputs * (1.0 / (1.0 - self.rate)), 0)

    def _drawn_shape(self, inputs: Tensor) -> tuple[int, ...]:
        """The shape of the draws, which broadcasts to that of the inputs."""
        return inputs.shape


@register
class SpatialDropout2D(Dropout):
    """Set whole channels of a picture to zero during training: neighbours say much the same.

    y = x * m / (1 - rate), m one with probability 1 - rate, else zero, drawn for each example and
    channel; y = x outside training

    Shapes: x (N, height, width, C), y like x.

    Args:
        rate: the share that is dropped, at least 0 and less than 1; also accepted as ``p``.
        seed: a fixed seed. Default None: it follows from the model's seed.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ArgumentError: the rate is out of range.
        ShapeError: the input is no batch of pictures.

    Example:
        >>> import chainrule as cr
        >>> y = cr.layers.SpatialDropout2D(0.5, seed=1)(cr.ones((2, 3, 3, 8)), training=True)
        >>> bool((y.numpy() == y.numpy()[:, :1, :1]).all())
        True

    The ``Dropout2d`` of PyTorch, channels last.
    Reference: Tompson et al., "Efficient object localization using convolutional networks", 2015.
    """

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        spatial_axes(self, inputs.shape, 2)
        return super().call(inputs, training)

    def _drawn_shape(self, inputs: Tensor) -> tuple[int, ...]:
        return (inputs.shape[0], 1, 1, inputs.shape[-1])


@register
class GaussianNoise(RandomLayer):
    """Add normally distributed noise during training.

    y = x + e, e ~ N(0, stddev^2); y = x outside training

    Shapes: x (N, ...), y (N, ...).

    Args:
        stddev: standard deviation of the noise.
        seed: a fixed seed. Default None: it follows from the model's seed.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ArgumentError: stddev is negative.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.layers.GaussianNoise(0.1)
        >>> layer(cr.ones((2, 3))).numpy().tolist()
        [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]

    Reference: Bishop, "Training with noise is equivalent to Tikhonov regularization", 1995.
    """

    def __init__(
        self, stddev: float, *, seed: int | None = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**options)
        self.stddev = number(self.name, "stddev", stddev, minimum=0.0)
        self._set_seed(seed)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        if not training or self.stddev == 0.0:
            return inputs
        inputs = self._floating(inputs)
        key = self.generator.next_key()
        return inputs + random.normal(key, inputs.shape, 0.0, self.stddev, dtype=inputs.dtype.name)
