"""Layers that change pictures at random during training, so that a network sees more of them.

Each picture of a batch gets its own draws from the layer's seeded generator, inside the compiled
step: the same seed gives the same pictures on any number of threads. Outside training pictures pass
unchanged (``RandomCrop`` cuts out the centre). Whole numbers (uint8 pictures) stay whole numbers of
their dtype, rounded; gradients flow back to the pixels where the pictures are floating.
"""

import math
from collections.abc import Sequence
from typing import Unpack

from chainrule.errors import ArgumentError, unknown_name
from chainrule.nn.layer import LayerOptions, Shape
from chainrule.nn.layers.noise import RandomLayer
from chainrule.nn.registry import register
from chainrule.nn.sampling import bilinear_samples, check_fill_mode, pixels_at
from chainrule.nn.validate import number, whole_number, wrong_input_shape
from chainrule.tensor import Tensor, functions, random

Factor = float | Sequence[float]

FLIPS = ("horizontal", "vertical", "horizontal_and_vertical")


class _Augmentation(RandomLayer):
    """A layer that calls ``augment`` during training only."""

    def __init__(self, *, seed: int | None = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self._set_seed(seed)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        self._check(inputs.shape)
        if not training:
            return self.unaugmented(inputs)
        whole = inputs.dtype.kind != "f"
        augmented = self.augment(self._floating(inputs), whole)
        return functions.round(augmented).astype(inputs.dtype) if whole else augmented

    def augment(self, images: Tensor, whole: bool) -> Tensor:
        """Other pictures, floating; ``whole``: whether they came as whole numbers."""
        raise NotImplementedError

    def unaugmented(self, images: Tensor) -> Tensor:
        """What goes on outside training."""
        return images

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        self._check(input_shape)
        return input_shape

    def _check(self, shape: Shape) -> None:
        if len(shape) != 4:
            raise wrong_input_shape(
                self.where, shape, "(batch, height, width, channels)",
                "add the missing axis, for example with x[..., None] for one channel",
            )  # fmt: skip

    def _changes(self, images: Tensor, *ranges: tuple[float, float]) -> list[Tensor]:
        """For each range a number for each picture, evenly spread over it; shapes (N, 1, 1)."""
        count = images.shape[0]
        drawn = random.uniform(
            self.generator.next_key(), (len(ranges), count, 1, 1), dtype=images.dtype
        )
        return [drawn[i] * (high - low) + low for i, (low, high) in enumerate(ranges)]


def _range(where: str, name: str, factor: object, least: float = -math.inf) -> tuple[float, float]:
    """A number f as (-f, f), a pair (low, high) as it is; low above ``least``."""
    if isinstance(factor, (list, tuple)):
        return _pair(where, name, factor, least)
    size = number(where, name, factor, minimum=0.0, below=None if math.isinf(least) else -least)
    return -size, size


def _pair(where: str, name: str, value: object, least: float = -math.inf) -> tuple[float, float]:
    """``value`` as (low, high), low above ``least``."""
    if isinstance(value, (list, tuple)) and len(value) == 2:
        low, high = (number(where, name, end) for end in value)
        if least < low <= high:
            return low, high
    bound = "" if math.isinf(least) else f", low above {least:g}"
    raise ArgumentError(
        where, f"bad {name}", got=repr(value), expected=f"(low, high), low not above high{bound}"
    )


@register
class RandomFlip(_Augmentation):
    """Mirror each picture, or not, with equal chance.

    Shapes: x (N, H, W, C), y (N, H, W, C).

    Args:
        mode: "horizontal" exchanges left and right, "vertical" top and bottom,
            "horizontal_and_vertical" draws for both. Default "horizontal".
        seed: a fixed seed. Default None: it follows from the model's seed.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        UnknownNameError: another mode.

    Example:
        >>> import chainrule as cr
        >>> x = cr.reshape(cr.arange(3.0), (1, 1, 3, 1))
        >>> layer = cr.layers.RandomFlip(seed=0)
        >>> sorted({tuple(layer(x, training=True).numpy().ravel().tolist()) for _ in range(20)})
        [(0.0, 1.0, 2.0), (2.0, 1.0, 0.0)]

    Different from Keras: the default mode there is "horizontal_and_vertical".
    """

    def __init__(
        self,
        mode: str = "horizontal",
        *,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed=seed, **options)
        if mode not in FLIPS:
            raise unknown_name(self.name, "mode", mode, FLIPS)
        self.mode = mode

    def augment(self, images: Tensor, whole: bool) -> Tensor:
        across, down = self._changes(images, (-1.0, 1.0), (-1.0, 1.0))
        for drawn, axis, word in ((across, 2, "horizontal"), (down, 1, "vertical")):
            if word in self.mode:
                mirrored = functions.expand_dims(drawn, -1) < 0
                images = functions.where(mirrored, functions.flip(images, axis), images)
        return images


@register
class RandomShift(_Augmentation):
    """Move each picture up or down and sideways by whole pixels.

    y[n, i, j] = x[n, i - dy, j - dx], dy evenly from round(low H) to round(high H), dx likewise

    Shapes: x (N, H, W, C), y (N, H, W, C).

    Args:
        height_factor: the most that it moves, as a share of the height; a pair (low, high) draws
            from low to high, positive is down. Default 0.1.
        width_factor: the same for the width, positive is to the right. Default None: as
            ``height_factor``.
        fill_mode: what comes in at the edge: "constant", "nearest", "reflect" or "wrap" (see
            `chainrule.nn.sampling`). Default "reflect".
        fill_value: the value of "constant". Default 0.
        seed: a fixed seed. Default None: it follows from the model's seed.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ArgumentError: a factor that is no number or pair.
        UnknownNameError: another fill mode.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.layers.RandomShift(0.0, (0.5, 0.5), fill_mode="constant")
        >>> layer(cr.ones((1, 1, 4, 1)), training=True).numpy().ravel().tolist()
        [0.0, 0.0, 1.0, 1.0]

    Different from Keras's RandomTranslation: whole pixels, so that nothing is blurred. Four pixels
    of 32, as for CIFAR, are ``RandomShift(4 / 32, fill_mode="constant")``.
    """

    def __init__(
        self,
        height_factor: Factor = 0.1,
        width_factor: Factor | None = None,
        *,
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed=seed, **options)
        self.height_factor = _range(self.name, "height_factor", height_factor)
        width_factor = self.height_factor if width_factor is None else width_factor
        self.width_factor = _range(self.name, "width_factor", width_factor)
        self.fill_mode = check_fill_mode(self.name, fill_mode)
        self.fill_value = number(self.name, "fill_value", fill_value)

    def augment(self, images: Tensor, whole: bool) -> Tensor:
        count, height, width, _ = images.shape
        keys = random.split(self.generator.next_key())
        down = _whole_draws(keys[0], count, height, self.height_factor)
        right = _whole_draws(keys[1], count, width, self.width_factor)
        rows = functions.reshape(functions.arange(height, dtype="int32"), (height, 1)) - down
        columns = functions.arange(width, dtype="int32") - right
        return pixels_at(images, rows, columns, self.fill_mode, self.fill_value)


def _whole_draws(key: Tensor, count: int, length: int, shares: tuple[float, float]) -> Tensor:
    """Whole numbers of pixels, one a picture, (N, 1, 1)."""
    low, high = (round(share * length) for share in shares)
    return random.randint(key, (count, 1, 1), low, high + 1).astype("int32")


@register
class RandomCrop(_Augmentation):
    """Cut out a part of each picture: anywhere during training, else the centre.

    Shapes: x (N, H, W, C), y (N, height, width, C).

    Args:
        height, width: size of the part.
        seed: a fixed seed. Default None: it follows from the model's seed.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ShapeError: a part larger than the picture.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.RandomCrop(1, 2)(cr.reshape(cr.arange(4.0), (1, 1, 4, 1))).numpy().ravel()
        array([1., 2.], dtype=float32)

    Different from Keras: a picture that is too small is an error, not scaled up.
    """

    def __init__(
        self,
        height: int,
        width: int,
        *,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed=seed, **options)
        self.height = whole_number(self.name, "height", height)
        self.width = whole_number(self.name, "width", width)

    def augment(self, images: Tensor, whole: bool) -> Tensor:
        count, height, width, _ = images.shape
        keys = random.split(self.generator.next_key())
        top = random.randint(keys[0], (count, 1, 1), 0, height - self.height + 1).astype("int32")
        left = random.randint(keys[1], (count, 1, 1), 0, width - self.width + 1).astype("int32")
        rows = functions.reshape(functions.arange(self.height, dtype="int32"), (-1, 1)) + top
        columns = functions.arange(self.width, dtype="int32") + left
        return pixels_at(images, rows, columns, "nearest")

    def unaugmented(self, images: Tensor) -> Tensor:
        top, left = ((images.shape[1] - self.height) // 2, (images.shape[2] - self.width) // 2)
        return images[:, top : top + self.height, left : left + self.width]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        self._check(input_shape)
        return (input_shape[0], self.height, self.width, input_shape[3])

    def _check(self, shape: Shape) -> None:
        super()._check(shape)
        for name, length, part in zip(("height", "width"), shape[1:3], (self.height, self.width)):
            if length is not None and length < part:
                raise wrong_input_shape(
                    self.where, shape, f"a {name} of at least {part}",
                    "crop a smaller part, or resize the pictures first",
                )  # fmt: skip


class _Resampling(_Augmentation):
    """A layer that reads each picture at other places: ``coordinates`` says where."""

    def __init__(
        self,
        *,
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed=seed, **options)
        self.fill_mode = check_fill_mode(self.name, fill_mode)
        self.fill_value = number(self.name, "fill_value", fill_value)

    def augment(self, images: Tensor, whole: bool) -> Tensor:
        _, height, width, _ = images.shape
        center, middle = (height - 1) / 2, (width - 1) / 2
        down = functions.reshape(functions.arange(height, dtype=images.dtype) - center, (-1, 1))
        right = functions.arange(width, dtype=images.dtype) - middle
        rows, columns = self.coordinates(images, down, right)
        return bilinear_samples(
            images, rows + center, columns + middle, self.fill_mode, self.fill_value
        )

    def coordinates(self, images: Tensor, down: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """The places to read, which broadcast to (N, H, W), counted from the centre like those
        given, (H, 1) and (W,).
        """
        raise NotImplementedError


@register
class RandomRotation(_Resampling):
    """Turn each picture around its centre, with bilinear interpolation.

    Shapes: x (N, H, W, C), y (N, H, W, C).

    Args:
        factor: the most that it turns, as a share of a full turn: 0.1 is up to 36 degrees either
            way; a pair (low, high) draws from low to high, positive is counter-clockwise.
        fill_mode: what comes in at the corners: "constant", "nearest", "reflect" or "wrap" (see
            `chainrule.nn.sampling`). Default "reflect".
        fill_value: the value of "constant". Default 0.
        seed: a fixed seed. Default None: it follows from the model's seed.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ArgumentError: a factor that is no number or pair.
        UnknownNameError: another fill mode.

    Example:
        >>> import chainrule as cr
        >>> quarter = cr.layers.RandomRotation((0.25, 0.25))
        >>> x = cr.reshape(cr.arange(4.0), (1, 2, 2, 1))
        >>> quarter(x, training=True).numpy().round(3).reshape(2, 2).tolist()
        [[1.0, 3.0], [0.0, 2.0]]

    PyTorch's RandomRotation counts degrees and fills with zeros.
    """

    def __init__(
        self,
        factor: Factor,
        *,
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(fill_mode=fill_mode, fill_value=fill_value, seed=seed, **options)
        self.factor = _range(self.name, "factor", factor)

    def coordinates(self, images: Tensor, down: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        (turns,) = self._changes(images, self.factor)
        angle = turns * (2.0 * math.pi)
        cosine, sine = functions.cos(angle), functions.sin(angle)
        return down * cosine + right * sine, right * cosine - down * sine


@register
class RandomZoom(_Resampling):
    """Make what each picture shows larger or smaller, with bilinear interpolation.

    Shapes: x (N, H, W, C), y (N, H, W, C).

    Args:
        height_factor: the most by which it changes, less than 1: 0.2 shows 80 % to 120 % of the
            height. A pair (low, high) draws from low to high; positive zooms out, negative zooms
            in.
        width_factor: the same for the width. Default None: the draw for the height, which keeps
            the proportions.
        fill_mode: what comes in at the edge: "constant", "nearest", "reflect" or "wrap" (see
            `chainrule.nn.sampling`). Default "reflect".
        fill_value: the value of "constant". Default 0.
        seed: a fixed seed. Default None: it follows from the model's seed.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ArgumentError: a factor that is no number or pair, or zooms in without end.
        UnknownNameError: another fill mode.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.layers.RandomZoom((1.0, 1.0), fill_mode="constant")
        >>> layer(cr.ones((1, 4, 4, 1)), training=True).numpy().sum().round(3).item()
        4.0
    """

    def __init__(
        self,
        height_factor: Factor,
        width_factor: Factor | None = None,
        *,
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(fill_mode=fill_mode, fill_value=fill_value, seed=seed, **options)
        self.height_factor = _range(self.name, "height_factor", height_factor, least=-1.0)
        self.width_factor = (
            None
            if width_factor is None
            else _range(self.name, "width_factor", width_factor, least=-1.0)
        )

    def coordinates(self, images: Tensor, down: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        both = self.width_factor or self.height_factor
        tall, wide = self._changes(images, self.height_factor, both)
        if self.width_factor is None:
            wide = tall
        return down * (1.0 + tall), right * (1.0 + wide)


class _Tone(_Augmentation):
    """A layer that changes values, which stay in their range."""

    # What low values of ``factor`` must stay above.
    least = -math.inf

    def __init__(
        self,
        factor: Factor,
        *,
        value_range: Sequence[float] | None = None,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed=seed, **options)
        self.factor = _range(self.name, "factor", factor, self.least)
        self.value_range = (
            None if value_range is None else _pair(self.name, "value_range", value_range)
        )

    def augment(self, images: Tensor, whole: bool) -> Tensor:
        low, high = self.value_range or ((0.0, 255.0) if whole else (0.0, 1.0))
        (change,) = self._changes(images, self.factor)
        changed = self.change(images, functions.expand_dims(change, -1), high - low)
        return functions.clip(changed, low, high)

    def change(self, images: Tensor, change: Tensor, width: float) -> Tensor:
        """The pictures with a change (N, 1, 1, 1); ``width``: how wide the range of values is."""
        raise NotImplementedError


@register
class RandomBrightness(_Tone):
    """Make each picture lighter or darker.

    y = clip(x + d (high - low), low, high), d evenly from -factor to factor

    Shapes: x (N, H, W, C), y (N, H, W, C).

    Args:
        factor: the largest change, as a share of the range of values; a pair (low, high) draws
            from low to high.
        value_range: the least and the greatest value of a pixel, where the result is cut off.
            Default None: (0, 255) for whole numbers, (0, 1) for floating ones.
        seed: a fixed seed. Default None: it follows from the model's seed.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ArgumentError: a factor or range that is no number or pair.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.layers.RandomBrightness((0.25, 0.25))
        >>> x = cr.reshape(cr.tensor([0.5, 0.875]), (1, 1, 2, 1))
        >>> layer(x, training=True).numpy().ravel().tolist()
        [0.75, 1.0]

    Different from Keras: the range there is (0, 255) for floating values too.
    """

    def change(self, images: Tensor, change: Tensor, width: float) -> Tensor:
        return images + change * width


@register
class RandomContrast(_Tone):
    """Spread the values of each picture around their mean, or draw them together.

    y = clip(m + (1 + d) (x - m), low, high), m the mean of the channel, d evenly from -factor to
    factor

    Shapes: x (N, H, W, C), y (N, H, W, C).

    Args:
        factor: the largest change, less than 1; a pair (low, high) draws from low to high.
        value_range: the least and the greatest value of a pixel, where the result is cut off.
            Default None: (0, 255) for whole numbers, (0, 1) for floating ones.
        seed: a fixed seed. Default None: it follows from the model's seed.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ArgumentError: a factor or range that is no number or pair.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.layers.RandomContrast((0.5, 0.5))
        >>> x = cr.reshape(cr.tensor([0.25, 0.75]), (1, 1, 2, 1))
        >>> layer(x, training=True).numpy().ravel().tolist()
        [0.125, 0.875]

    Different from Keras: a pair there is (how far below 1, how far above 1).
    """

    least = -1.0

    def change(self, images: Tensor, change: Tensor, width: float) -> Tensor:
        mean = functions.mean(images, (1, 2), keepdims=True)
        return mean + (images - mean) * (1.0 + change)


@register
class Cutout(_Augmentation):
    """Blot out a rectangle of each picture, so that a network does not rely on one part alone.

    Its centre is any pixel, with equal chance; what lies outside the picture is lost.

    Shapes: x (N, H, W, C), y (N, H, W, C).

    Args:
        size: side of the square in pixels, or (height, width).
        rate: the share of the pictures that this happens to. Default 1.
        fill_value: what stands there. Default 0.
        seed: a fixed seed. Default None: it follows from the model's seed.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ArgumentError: a size below 1, or a rate that is no share.

    Example:
        >>> import chainrule as cr
        >>> y = cr.layers.Cutout((1, 2), seed=1)(cr.ones((1, 1, 8, 1)), training=True)
        >>> y.numpy().ravel().tolist()
        [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0]

    Different from Keras's RandomErasing: the size is fixed, as in the paper.
    Reference: DeVries and Taylor, "Improved regularization of convolutional neural networks with
    cutout", 2017.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        *,
        rate: float = 1.0,
        fill_value: float = 0.0,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed=seed, **options)
        sides = tuple(size) if isinstance(size, (list, tuple)) else (size, size)
        if len(sides) != 2:
            raise ArgumentError(
                self.name, "bad size", got=size, expected="one number, or (height, width)"
            )
        self.size = tuple(whole_number(self.name, "size", side) for side in sides)
        self.rate = number(self.name, "rate", rate, minimum=0.0)
        if self.rate > 1:
            raise ArgumentError(self.name, "bad rate", got=rate, expected="a share, 0 to 1")
        self.fill_value = number(self.name, "fill_value", fill_value)

    def augment(self, images: Tensor, whole: bool) -> Tensor:
        count, height, width, _ = images.shape
        keys = random.split(self.generator.next_key(), 3)
        blotted = random.bernoulli(keys[2], self.rate, (count, 1, 1))
        for key, length, side, shape in (
            (keys[0], height, self.size[0], (height, 1)),
            (keys[1], width, self.size[1], (width,)),
        ):
            first = random.randint(key, (count, 1, 1), 0, length).astype("int32") - side // 2
            places = functions.reshape(functions.arange(length, dtype="int32"), shape)
            blotted = blotted & (places >= first) & (places < first + side)
        return functions.where(functions.expand_dims(blotted, -1), self.fill_value, images)
