"""Layers that change sounds at random during training, so that a network hears more of them.

Each sound of a batch gets its own draws from the layer's seeded generator, inside the compiled
step: the same seed gives the same sounds on any number of threads. Outside training sounds pass
unchanged. Gradients flow back to what is changed.
"""

import math
from collections.abc import Sequence
from typing import Unpack

from chainrule.errors import ArgumentError
from chainrule.nn.layer import LayerOptions, Shape
from chainrule.nn.layers.noise import RandomLayer
from chainrule.nn.registry import register
from chainrule.nn.validate import number, whole_number, wrong_input_shape
from chainrule.tensor import Tensor, functions, random

# Of a silent sound, whose root has a derivative all the same.
_LEAST_POWER = 1e-30


class _SoundAugmentation(RandomLayer):
    """A layer that calls ``augment`` during training only."""

    # The axes of the inputs.
    axes: tuple[str, ...] = ("batch", "samples")

    def __init__(self, *, seed: int | None = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self._set_seed(seed)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        self.compute_output_shape(inputs.shape)
        return self.augment(self._floating(inputs)) if training else inputs

    def augment(self, sounds: Tensor) -> Tensor:
        """Other sounds of the same shape."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != len(self.axes):
            raise wrong_input_shape(
                self.where, input_shape, f"({', '.join(self.axes)})",
                "give mono sounds of one length"
                if len(self.axes) == 2
                else "put this layer behind LogMel or MFCC",
            )  # fmt: skip
        return input_shape

    def _draws(self, sounds: Tensor, count: int) -> Tensor:
        """Numbers from -1 to 1, ``count`` for each sound: (count, N, 1)."""
        shape = (count, sounds.shape[0], 1)
        return random.uniform(self.generator.next_key(), shape, -1.0, 1.0, dtype=sounds.dtype.name)


@register
class RandomNoise(_SoundAugmentation):
    """Add white noise of a random loudness to each sound.

    y = x + s e, e ~ N(0, 1), s such that the noise is r decibels below the sound, r evenly from
    low to high

    The silence (zeros) before and after a sound stays silent.

    Shapes: x (N, samples), y (N, samples).

    Args:
        decibels: (low, high). Default (10, 50).
        seed: a fixed seed. Default None: it follows from the model's seed.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ArgumentError: decibels that are no pair (low, high).
        ShapeError: the input is no batch of sounds.

    Example:
        >>> import chainrule as cr
        >>> x = cr.tensor([[0.0, 1.0, 0.0, -1.0, 0.0]])
        >>> y = cr.layers.RandomNoise((20, 20), seed=0)(x, training=True).numpy()
        >>> (y != x.numpy()).tolist()
        [[False, True, True, True, False]]
    """

    def __init__(
        self,
        decibels: Sequence[float] = (10.0, 50.0),
        *,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed=seed, **options)
        pair = isinstance(decibels, (list, tuple)) and len(decibels) == 2
        low, high = (number(self.name, "decibels", end) for end in decibels) if pair else (1, 0)
        if low > high:
            raise ArgumentError(
                self.name, "bad decibels", got=repr(decibels), expected="(low, high)"
            )
        self.decibels = (low, high)

    def augment(self, sounds: Tensor) -> Tensor:
        count, length = sounds.shape
        keys = random.split(self.generator.next_key(), 2)
        low, high = self.decibels
        ratio = random.uniform(keys[0], (count, 1), low, high, dtype=sounds.dtype.name)
        sounding = (sounds != 0).astype(sounds.dtype)
        before = functions.cumsum(sounding, 1)
        total = before[:, length - 1 :]
        within = (before > 0) & (before - sounding < total)
        power = functions.sum(functions.square(sounds), 1, keepdims=True)
        power = functions.maximum(power / functions.maximum(total, 1.0), _LEAST_POWER)
        size = functions.sqrt(power * functions.exp(ratio * (-math.log(10.0) / 10.0)))
        noise = random.normal(keys[1], sounds.shape, dtype=sounds.dtype.name)
        return sounds + functions.where(within, noise * size, 0)


@register
class RandomTimeShift(_SoundAugmentation):
    """Move each sound forwards or backwards; what comes in at an end is silence.

    Shapes: x (N, samples), y (N, samples).

    Args:
        factor: the most by which a sound moves, as a share of the length. Default 0.1.
        seed: a fixed seed. Default None: it follows from the model's seed.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ArgumentError: the factor is no number from 0 to 1.
        ShapeError: the input is no batch of sounds.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.layers.RandomTimeShift(0.5, seed=1)
        >>> layer(cr.tensor([[1.0, 2.0, 3.0, 4.0]]), training=True).numpy().tolist()
        [[2.0, 3.0, 4.0, 0.0]]
    """

    def __init__(
        self,
        factor: float = 0.1,
        *,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed=seed, **options)
        self.factor = number(self.name, "factor", factor, minimum=0.0)
        if self.factor > 1:
            raise ArgumentError(self.name, "bad factor", got=factor, expected="0 to 1")

    def augment(self, sounds: Tensor) -> Tensor:
        length = sounds.shape[1]
        (drawn,) = self._draws(sounds, 1)
        shift = functions.round(drawn * (self.factor * length)).astype("int32")
        places = functions.arange(length, dtype="int32") - shift
        found = functions.take_along_axis(sounds, functions.clip(places, 0, length - 1), 1)
        return functions.where((places >= 0) & (places < length), found, 0)


@register
class RandomWarp(_SoundAugmentation):
    """Stretch each spectrogram a little: in time, as if spoken slower or faster, and in frequency,
    as if by a shorter or longer throat.

    y[t, b] = x at ((t - m) exp(p) + m + q, (b + 1/2) exp(r) - 1/2), m the middle; p, q and r evenly
    from -time to time, -shift to shift (times the frames) and -band to band; between the frames and
    bands x is interpolated linearly

    Beyond the ends of time stand zeros, beyond the lowest and highest band their values.

    Shapes: x (N, frames, bands), y (N, frames, bands).

    Args:
        time: the most that time is stretched, as a logarithm. Default 0.2.
        band: the most that the bands are stretched, as a logarithm. Default 0.1.
        shift: the most that a sound moves in time, as a share of the frames. Default 0.1.
        seed: a fixed seed. Default None: it follows from the model's seed.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ArgumentError: a negative number.
        ShapeError: the input is no batch of spectrograms, or has one frame or band only.

    Example:
        >>> import chainrule as cr
        >>> x = cr.ones((2, 6, 4))
        >>> cr.layers.RandomWarp(shift=0, time=0)(x, training=True).numpy().tolist() == x.tolist()
        True

    Reference: Jaitly and Hinton, "Vocal tract length perturbation (VTLP) improves speech
    recognition", 2013, which stretches the frequencies before they are gathered into bands.
    """

    axes = ("batch", "frames", "bands")

    def __init__(
        self,
        time: float = 0.2,
        band: float = 0.1,
        shift: float = 0.1,
        *,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed=seed, **options)
        self.time = number(self.name, "time", time, minimum=0.0)
        self.band = number(self.name, "band", band, minimum=0.0)
        self.shift = number(self.name, "shift", shift, minimum=0.0)

    def augment(self, sounds: Tensor) -> Tensor:
        _, frames, bands = sounds.shape
        draws = self._draws(sounds, 3)
        middle = (frames - 1) / 2
        times = functions.arange(frames, dtype=sounds.dtype.name) - middle
        times = times * functions.exp(draws[0] * self.time) + (
            draws[1] * (self.shift * frames) + middle
        )
        within = ((times > -1.0) & (times < float(frames))).astype(sounds.dtype)
        warped = _interpolated(sounds, times) * functions.expand_dims(within, -1)
        heights = functions.arange(bands, dtype=sounds.dtype.name) + 0.5
        heights = heights * functions.exp(draws[2] * self.band) - 0.5
        turned = functions.swapaxes(warped, 1, 2)
        return functions.swapaxes(_interpolated(turned, heights), 1, 2)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        super().compute_output_shape(input_shape)
        if min(size for size in input_shape[1:] if size is not None) < 2:
            raise wrong_input_shape(
                self.where, input_shape, "at least 2 frames and 2 bands", "give longer sounds"
            )
        return input_shape


def _interpolated(rows: Tensor, places: Tensor) -> Tensor:
    """Rows read between their places, linearly; beyond the ends the last ones.

    Shapes: rows (N, L, C), places (N, K) -> (N, K, C).
    """
    count, length, width = rows.shape
    places = functions.clip(places, 0, length - 1)
    below = functions.clip(functions.floor(places), 0, length - 2)
    share = functions.expand_dims(places - below, -1)
    first = functions.reshape(functions.arange(count, dtype="int32") * length, (count, 1))
    found = first + below.astype("int32")
    flat = functions.reshape(rows, (count * length, width))
    return functions.take(flat, found, 0) * (1.0 - share) + (
        functions.take(flat, found + 1, 0) * share
    )


MAX_MASKS = 100


@register
class SpecAugment(_SoundAugmentation):
    """Blot out stretches of time and of frequency, so that a network does not rely on one part.

    Each stretch is 0 to ``width`` wide and stands anywhere, evenly.

    Shapes: x (N, frames, bands), y (N, frames, bands).

    Args:
        time_masks: how many stretches of time. Default 2.
        time_width: the widest, in frames. Default 10.
        band_masks: how many stretches of bands. Default 2.
        band_width: the widest, in bands. Default 8.
        fill_value: what stands there. Default 0, the mean of a standardised spectrogram.
        seed: a fixed seed. Default None: it follows from the model's seed.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ArgumentError: a number that is not whole or negative; more than 100 masks.
        ShapeError: the input is no batch of spectrograms.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.layers.SpecAugment(1, 3, 0, seed=4)
        >>> layer(cr.ones((1, 8, 2)), training=True).numpy()[0, :, 0].tolist()
        [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0]

    Reference: Park et al., "SpecAugment: a simple data augmentation method for automatic speech
    recognition", 2019; its time warping is ``RandomWarp``.
    """

    axes = ("batch", "frames", "bands")

    def __init__(
        self,
        time_masks: int = 2,
        time_width: int = 10,
        band_masks: int = 2,
        band_width: int = 8,
        *,
        fill_value: float = 0.0,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed=seed, **options)
        self.time_masks = whole_number(self.name, "time_masks", time_masks, minimum=0)
        self.time_width = whole_number(self.name, "time_width", time_width, minimum=0)
        self.band_masks = whole_number(self.name, "band_masks", band_masks, minimum=0)
        self.band_width = whole_number(self.name, "band_width", band_width, minimum=0)
        self.fill_value = number(self.name, "fill_value", fill_value)
        if self.time_masks + self.band_masks > MAX_MASKS:
            raise ArgumentError(
                self.name, "too many masks", got=self.time_masks + self.band_masks,
                expected=f"at most {MAX_MASKS}",
            )  # fmt: skip

    def augment(self, sounds: Tensor) -> Tensor:
        count, frames, bands = sounds.shape
        masks = self.time_masks + self.band_masks
        if not masks:
            return sounds
        drawn = random.uniform(
            self.generator.next_key(), (masks, 2, count, 1, 1), dtype=sounds.dtype.name
        )
        blotted = None
        for mask in range(masks):
            timed = mask < self.time_masks
            length, widest = (frames, self.time_width) if timed else (bands, self.band_width)
            width = functions.floor(drawn[mask, 0] * (min(widest, length) + 1.0))
            first = functions.floor(drawn[mask, 1] * (length + 1.0 - width))
            places = functions.arange(length, dtype=sounds.dtype.name)
            places = functions.reshape(places, (length, 1) if timed else (1, length))
            hidden = (places >= first) & (places < first + width)
            blotted = hidden if blotted is None else blotted | hidden
        return functions.where(blotted, self.fill_value, sounds)
