"""Layers that turn sound into what an ear hears of it: LogMel and MFCC.

Sound is an array (N, samples), one clip a row, silence (exact zeros) around clips that are shorter.
The layers are ordinary tensor code, so they are part of the compiled step and gradients flow back
to the samples.
"""

import math
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import ArgumentError, unknown_name
from chainrule.nn.layer import Layer, LayerOptions, Shape
from chainrule.nn.registry import register
from chainrule.nn.validate import number, whole_number, wrong_input_shape
from chainrule.tensor import Tensor, functions

MEL_SCALES = ("htk", "slaney")
WAYS = ("band", "clip")

#: Frames and bands beyond this would make matrices of hundreds of MiB.
MAX_FRAME, MAX_BANDS = 4_096, 512

_SLANEY_STEP = 200.0 / 3  # Hz a mel below 1,000 Hz
_SLANEY_KNEE = 1_000.0
_SLANEY_LOG_STEP = math.log(6.4) / 27  # above: 27 mels from 1,000 to 6,400 Hz
_VARIANCE_FLOOR = 1e-5


def mel_of(hertz: NDArray[Any] | float, scale: str = "slaney") -> NDArray[np.float64]:
    """Mels of frequencies.

    "htk": ``2595 log10(1 + f / 700)``. "slaney": ``3 f / 200`` up to 1,000 Hz, then
    ``15 + 27 ln(f / 1000) / ln(6.4)``.

    >>> (
    ...     mel_of(700.0, "htk").round(3).item(),
    ...     mel_of(np.array([500.0, 6400.0])).round(3).tolist(),
    ... )
    (781.173, [7.5, 42.0])
    """
    hertz = np.asarray(hertz, np.float64)
    if scale == "htk":
        return np.asarray(2595.0 * np.log10(1.0 + hertz / 700.0))
    above = np.log(np.maximum(hertz, _SLANEY_KNEE) / _SLANEY_KNEE) / _SLANEY_LOG_STEP
    return np.asarray(np.minimum(hertz, _SLANEY_KNEE) / _SLANEY_STEP + above)


def hertz_of(mel: NDArray[Any] | float, scale: str = "slaney") -> NDArray[np.float64]:
    """Frequencies of mels: the inverse of `mel_of`."""
    mel = np.asarray(mel, np.float64)
    if scale == "htk":
        return np.asarray(700.0 * (10.0 ** (mel / 2595.0) - 1.0))
    knee = _SLANEY_KNEE / _SLANEY_STEP
    below = np.minimum(mel, knee) * _SLANEY_STEP
    return np.asarray(below * np.exp(np.maximum(mel - knee, 0.0) * _SLANEY_LOG_STEP))


def mel_filters(
    bands: int,
    fft_length: int,
    sample_rate: float,
    low: float = 0.0,
    high: float | None = None,
    scale: str = "slaney",
) -> NDArray[np.float64]:
    """Triangles that gather the bins of a spectrum into bands, evenly spaced in mels.

    A triangle rises from the centre of the band below to its own and falls to that of the band
    above. "htk": its peak is 1. "slaney": its area is 1, in Hz.

    Shapes: (fft_length // 2 + 1, bands).
    """
    high = sample_rate / 2 if high is None else high
    edges = hertz_of(np.linspace(mel_of(low, scale), mel_of(high, scale), bands + 2), scale)
    bins = np.arange(fft_length // 2 + 1)[:, None] * (sample_rate / fft_length)
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    if scale == "slaney":
        triangles *= 2.0 / (edges[2:] - edges[:-2])
    return np.asarray(triangles)


def cosine_transform(bands: int, coefficients: int) -> NDArray[np.float64]:
    """The orthonormal cosine transform of type II, (bands, coefficients)."""
    places = (np.arange(bands)[:, None] + 0.5) * np.arange(coefficients) * (math.pi / bands)
    matrix = np.cos(places) * math.sqrt(2.0 / bands)
    matrix[:, 0] = math.sqrt(1.0 / bands)
    return np.asarray(matrix)


@register
class LogMel(Layer):
    """The logarithm of the energy in bands of frequencies, frame by frame.

    Frames of ``window`` seconds, one every ``hop`` seconds, as far as whole ones fit, times a
    (periodic) Hann window; the squared magnitudes of the discrete Fourier transform, gathered by
    ``mel_filters``:

    y[t, b] = ln(max(sum_k F[k, b] |X[t, k]|^2, floor))

    Shapes: x (N, samples), y (N, frames, bands).

    Args:
        sample_rate: samples a second.
        bands: how many bands. Default 40.
        window: seconds of a frame. Default 0.025.
        hop: seconds from frame to frame. Default 0.01.
        low, high: the frequencies in Hz where the bands begin and end. Default 0 and half the
            sample rate.
        scale: "slaney" (default): linear below 1,000 Hz, then logarithmic, triangles of area 1;
            "htk": 2595 log10(1 + f / 700), triangles of height 1.
        floor: the smallest energy that the logarithm sees. Default 1e-10.
        decibels: how far below the clip's loudest value everything is cut off. Default None: no
            limit.
        standardize: "band" gives each band of each clip mean 0 and variance 1 over the frames,
            which takes away the loudness and the colour of voice and microphone, and what is the
            same throughout; "clip" does so with all bands of a clip together, which takes away the
            loudness only. Frames of digital silence (all samples zero) do not count and become 0.
            Default None: nothing is done.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ArgumentError: numbers that do not fit each other.
        ShapeError: the input is no batch of clips, or shorter than one frame.

    Example:
        >>> import chainrule as cr
        >>> clip = cr.sin(cr.arange(8000.0) * (440 * 6.2832 / 8000))
        >>> y = cr.layers.LogMel(8000)(cr.reshape(clip, (1, -1)))
        >>> y.shape, int(cr.argmax(cr.mean(y, 1)))
        ((1, 98, 40), 7)

    Different from Keras' MelSpectrogram and torchaudio: no padding at the ends; natural logarithms;
    axes are (time, band). librosa's and Keras' filters are those of "slaney", torchaudio's default
    those of "htk".

    Reference: Davis and Mermelstein, "Comparison of parametric representations for monosyllabic
    word recognition in continuously spoken sentences", 1980; Slaney, "Auditory Toolbox", 1998.
    """

    takes = "one"

    def __init__(
        self,
        sample_rate: float,
        bands: int = 40,
        *,
        window: float = 0.025,
        hop: float = 0.01,
        low: float = 0.0,
        high: float | None = None,
        scale: str = "slaney",
        floor: float = 1e-10,
        decibels: float | None = None,
        standardize: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.sample_rate = number(self.name, "sample_rate", sample_rate, minimum=1.0)
        self.bands = whole_number(self.name, "bands", bands)
        self.window = number(self.name, "window", window, minimum=0.0)
        self.hop = number(self.name, "hop", hop, minimum=0.0)
        self.low = number(self.name, "low", low, minimum=0.0)
        self.high = None if high is None else number(self.name, "high", high, minimum=0.0)
        self.scale = scale
        self.floor = number(self.name, "floor", floor, minimum=0.0)
        self.decibels = (
            None if decibels is None else number(self.name, "decibels", decibels, minimum=0.0)
        )
        if standardize is not None and standardize not in WAYS:
            raise unknown_name(self.name, "standardize", standardize, WAYS)
        self.standardize = standardize
        self._waves, self._filters = self._matrices()

    def _matrices(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Windowed waves, (window, 1, 2 K), and what gathers their squares, (2 K, bands)."""
        if self.scale not in MEL_SCALES:
            raise unknown_name(self.name, "scale", self.scale, MEL_SCALES)
        self.frame_length = round(self.window * self.sample_rate)
        self.frame_step = round(self.hop * self.sample_rate)
        top = self.sample_rate / 2
        high = top if self.high is None else self.high
        for name, value, good, expected in (
            (
                "window", self.window, 2 <= self.frame_length <= MAX_FRAME,
                f"2 to {MAX_FRAME:,} samples, at {self.sample_rate:,g} a second",
            ),
            ("hop", self.hop, self.frame_step >= 1, "at least 1 sample"),
            ("bands", self.bands, self.bands <= MAX_BANDS, f"at most {MAX_BANDS}"),
            ("high", high, self.low < high <= top, f"above low, at most {top:g} Hz"),
            ("floor", self.floor, self.floor > 0, "more than 0"),
        ):  # fmt: skip
            if not good:
                raise ArgumentError(self.name, f"bad {name}", got=value, expected=expected)
        length = 1 << (self.frame_length - 1).bit_length()
        filters = mel_filters(self.bands, length, self.sample_rate, self.low, self.high, self.scale)
        used = np.flatnonzero(filters.any(axis=1))
        times = np.arange(self.frame_length)[:, None]
        angles = times * used * (2.0 * math.pi / length)
        hann = 0.5 - 0.5 * np.cos(times * (2.0 * math.pi / self.frame_length))
        waves = np.concatenate([np.cos(angles), np.sin(angles)], axis=1) * hann
        return waves[:, None, :], np.concatenate([filters[used], filters[used]])

    def call(self, inputs: Tensor) -> Tensor:
        self.compute_output_shape(inputs.shape)
        clips = inputs if inputs.dtype.kind == "f" else inputs.astype(self.dtype)
        dtype = clips.dtype.name
        waves, filters = self._waves.astype(dtype), self._filters.astype(dtype)
        spectrum = functions.convolution(
            functions.expand_dims(clips, -1), waves, strides=self.frame_step
        )
        energy = functions.matmul(functions.square(spectrum), filters)
        logarithms = functions.log(functions.maximum(energy, self.floor))
        if self.decibels is not None:
            loudest = functions.max(logarithms, (1, 2), keepdims=True)
            lowest = loudest - self.decibels * (math.log(10.0) / 10.0)
            logarithms = functions.maximum(logarithms, lowest)
        features = self._combined(logarithms)
        if self.standardize:
            heard = functions.any(energy > 0, 2, keepdims=True).astype(dtype)
            return standardized(features, heard, (1,) if self.standardize == "band" else (1, 2))
        return features

    def _combined(self, logarithms: Tensor) -> Tensor:
        """What is made of the bands of each frame."""
        return logarithms

    @property
    def _width(self) -> int:
        return self.bands

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 2 or not isinstance(input_shape[1], int):
            raise wrong_input_shape(
                self.where, input_shape, "(batch, samples)",
                "give mono clips of one length, for example those of AudioData.padded(samples)",
            )  # fmt: skip
        samples = input_shape[1]
        if samples < self.frame_length:
            raise wrong_input_shape(
                self.where, input_shape, f"at least {self.frame_length} samples, one frame",
                "give longer clips, or a smaller window",
            )  # fmt: skip
        return input_shape[0], self.frames(samples), self._width

    def frames(self, samples: int) -> int:
        """How many frames so many samples give."""
        return 1 + (samples - self.frame_length) // self.frame_step


def standardized(values: Tensor, heard: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Mean 0 and variance 1 along the axes, over the frames that count; the others become 0.

    Shapes: values (N, frames, B), heard (N, frames, 1) of zeros and ones.
    """
    heard = functions.broadcast_to(heard, values.shape)
    count = functions.maximum(functions.sum(heard, axes, keepdims=True), 1.0)
    mean = functions.sum(values * heard, axes, keepdims=True) / count
    centred = (values - mean) * heard
    variance = functions.sum(functions.square(centred), axes, keepdims=True) / count
    return centred * functions.rsqrt(variance + _VARIANCE_FLOOR)


@register
class MFCC(LogMel):
    """Mel-frequency cepstral coefficients: the shape of a log-mel spectrum without its fine detail.

    y[t, c] = sum_b D[b, c] LogMel(x)[t, b], D the orthonormal cosine transform of type II

    Shapes: x (N, samples), y (N, frames, coefficients).

    Args:
        sample_rate: samples a second.
        coefficients: how many are kept, the first of them the loudness. Default 13.
        bands: of the log-mel spectrum. Default 40.
        settings: the others of ``LogMel``; ``standardize`` is for coefficients in place of bands.

    Raises:
        ArgumentError, ShapeError: as for ``LogMel``; more coefficients than bands.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.MFCC(8000)(cr.ones((2, 8000))).shape
        (2, 98, 13)

    Different from librosa and torchaudio: natural logarithms of energies, where they take decibels:
    theirs are 4.343 times as large.

    Reference: Davis and Mermelstein, 1980, as for ``LogMel``.
    """

    def __init__(
        self,
        sample_rate: float,
        coefficients: int = 13,
        bands: int = 40,
        **settings: Any,
    ) -> None:
        super().__init__(sample_rate, bands, **settings)
        self.coefficients = whole_number(self.name, "coefficients", coefficients)
        if self.coefficients > self.bands:
            raise ArgumentError(
                self.name, "more coefficients than bands", got=coefficients,
                expected=f"at most {self.bands}",
            )  # fmt: skip

    def _combined(self, logarithms: Tensor) -> Tensor:
        transform = cosine_transform(self.bands, self.coefficients).astype(logarithms.dtype)
        return functions.matmul(logarithms, transform)

    @property
    def _width(self) -> int:
        return self.coefficients
