"""One file of sound as mono samples of one rate, through soundfile and soxr, imported on first use.

What a file declares is checked before anything is decoded. Only WAV, FLAC and OGG are ever tried,
told by the first bytes, whatever a file is called. Sound is read in blocks that are mixed to mono
at once, so that no more memory is taken than the samples that are kept need.
"""

import os
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from chainrule.data.checks import StoredConfig
from chainrule.data.media_reading import UnreadableError, opened
from chainrule.errors import missing_dependency

Samples = NDArray[np.float32]

LOWEST_RATE, HIGHEST_RATE = 1_000, 384_000
MAX_CHANNELS = 32
MAX_TRIM = 200
LOUDEST = 1_000.0
"""Full scale is 1; floating samples above it are possible, but not so far."""

_FORMATS = ("WAV", "WAVEX", "RF64", "FLAC", "OGG")
_NONE_OF_THEM = "this is no WAV, FLAC or OGG sound"
_BLOCK = 1 << 16
_TRIM_FRAME = 0.02  # seconds
_OGG_TAIL = 1 << 16
_OGG_HEADER, _OGG_FLAGS, _OGG_LAST = 27, 5, 4
_UNKNOWN_SIZES = (0, 0xFFFFFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0x7FFFF000)
_MOST_CHUNKS = 256


@dataclass(frozen=True)
class AudioLimits:
    """What a single file may ask for.

    Args:
        seconds: declared duration.
        size: bytes of the file.
        channels: declared channels.
    """

    seconds: float
    size: int
    channels: int


@dataclass(frozen=True)
class AudioFacts:
    """What a file says about its sound before it is decoded.

    Args:
        rate: samples a second.
        frames: samples in each channel.
        channels: how many.
    """

    rate: int
    frames: int
    channels: int


@dataclass(frozen=True)
class AudioPreparation:
    """How sounds become samples; a model keeps it for the sounds to come.

    Args:
        sample_rate: samples a second.
        trim: decibels below the loudest 20 ms at which silence at both ends is cut off; 0 for none.

    Example:
        >>> AudioPreparation(8000).to_config()
        {'sample_rate': 8000, 'trim': 40}
    """

    sample_rate: int
    trim: int = 40

    def to_config(self) -> dict[str, Any]:
        """Return JSON-able values."""
        return {"sample_rate": self.sample_rate, "trim": self.trim}

    @classmethod
    def from_config(cls, config: object, where: str = "sound preparation") -> "AudioPreparation":
        """Rebuild from `to_config`, every value checked.

        Raises:
            FileFormatError: a value of another type or out of bounds.
        """
        stored = StoredConfig(config, where, ("sample_rate", "trim"))
        return cls(
            stored.integer("sample_rate", LOWEST_RATE, HIGHEST_RATE),
            stored.integer("trim", 0, MAX_TRIM),
        )


def soundfile() -> Any:
    """The module ``soundfile``.

    Raises:
        MissingDependencyError: it is not installed, or finds no libsndfile.
    """
    try:
        import soundfile
    except (ImportError, OSError):
        raise missing_dependency("cr.data.audio", "soundfile", "audio") from None
    return soundfile


def soxr() -> Any:
    """The module ``soxr``.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import soxr
    except ImportError:
        raise missing_dependency("resampling sound", "soxr", "audio") from None
    return soxr


def decoder_versions() -> str:
    """The versions of the packages on which decoded values may depend."""
    module = soundfile()
    return f"{module.__version__} {module.__libsndfile_version__} {soxr().__version__}"


def look(path: str, limits: AudioLimits) -> AudioFacts:
    """Read what a file declares, without decoding it.

    Raises:
        UnreadableError: no sound, cut off, or beyond the limits.
    """
    try:
        with opened(path, limits.size) as file, _sound(file, limits) as sound:
            return AudioFacts(int(sound.samplerate), int(sound.frames), int(sound.channels))
    except UnreadableError:
        raise
    except Exception as error:
        raise UnreadableError(_reason(error)) from error


def decode(path: str, limits: AudioLimits, wanted: AudioPreparation) -> Samples:
    """Decode a file into mono samples from -1 to 1 of the wanted rate, silence at its ends cut off.

    Channels are mixed by their mean.

    Raises:
        UnreadableError: no sound, damaged, cut off, silent, or beyond the limits.
    """
    try:
        with opened(path, limits.size) as file, _sound(file, limits) as sound:
            rate, samples = int(sound.samplerate), _mono(sound)
    except UnreadableError:
        raise
    except Exception as error:
        raise UnreadableError(_reason(error)) from error
    if not np.abs(samples).max() <= LOUDEST:
        raise UnreadableError(f"the sound is damaged: it holds numbers above {LOUDEST:,g}")
    if rate != wanted.sample_rate:
        samples = soxr().resample(samples, rate, wanted.sample_rate)
    if wanted.trim:
        samples = trimmed(samples, wanted.sample_rate, wanted.trim)
    if not samples.any():
        raise UnreadableError("the sound is silent throughout")
    return np.ascontiguousarray(samples, np.float32)


def trimmed(samples: Samples, rate: int, decibels: float) -> Samples:
    """The samples without the silence before and after the sound.

    Silence is what stays so many decibels below the loudest 20 ms; 20 ms of it are kept.
    """
    length = max(1, round(rate * _TRIM_FRAME))
    frames = -(-len(samples) // length)
    padded = np.zeros(frames * length, np.float32)
    padded[: len(samples)] = samples
    energy = np.square(padded, dtype=np.float64).reshape(frames, length).sum(axis=1)
    loud = np.flatnonzero(energy > energy.max(initial=0.0) * 10 ** (-decibels / 10))
    if not len(loud):
        return samples
    return samples[max(0, loud[0] - 1) * length : (loud[-1] + 2) * length]


def _sound(file: BinaryIO, limits: AudioLimits) -> Any:
    """The sound in a file, what it declares within the limits.

    Raises:
        UnreadableError: another format, cut off, or beyond the limits.
    """
    _check_container(file)
    sound = soundfile().SoundFile(_Source(file))
    try:
        if sound.format not in _FORMATS:
            raise UnreadableError(_NONE_OF_THEM)
        rate, frames, channels = sound.samplerate, sound.frames, sound.channels
        if not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise UnreadableError(f"{rate:,} samples a second")
        if channels > limits.channels:
            raise UnreadableError(f"{channels:,} channels, over {limits.channels:,}")
        if frames < 1:
            raise UnreadableError("there is no sound in it")
        if frames > limits.seconds * rate:
            raise UnreadableError(f"{frames / rate:,.0f} seconds, over {limits.seconds:,g}")
    except BaseException:
        sound.close()
        raise
    return sound


class _Source:
    """A file as libsndfile reads it: a place before the beginning, which damaged files ask for, is
    no exception, since one raised in a callback would be printed.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.read = file.read
        self.readinto = file.readinto  # type: ignore[attr-defined]  # those of open() have it
        self.tell = file.tell
        self._seek = file.seek

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return self._seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return self.tell()


def _mono(sound: Any) -> Samples:
    """All samples, channels mixed, read in blocks."""
    frames, channels = int(sound.frames), int(sound.channels)
    result = np.empty(frames, np.float32)
    block = np.empty((max(1, _BLOCK // channels), channels), np.float32)
    done = 0
    while done < frames:
        part = sound.read(out=block[: frames - done])
        if not len(part):
            raise UnreadableError(f"the sound is cut off after {done:,} of {frames:,} samples")
        with np.errstate(invalid="ignore", over="ignore"):
            part.mean(axis=1, out=result[done : done + len(part)])
        done += len(part)
    return result


def _check_container(file: BinaryIO) -> None:
    """Refuse other formats by the first bytes, and WAV and OGG that end before they should.

    libsndfile reads what is there of a file that is cut off and says nothing.
    """
    size = os.fstat(file.fileno()).st_size
    head = file.read(12)
    if head[:4] in (b"RIFF", b"RIFX") and head[8:] == b"WAVE":
        _check_chunks(file, size, "little" if head[:4] == b"RIFF" else "big")
    elif head[:4] == b"OggS":
        _check_last_page(file, size)
    elif head[:4] != b"fLaC" and not (head[:4] == b"RF64" and head[8:] == b"WAVE"):
        raise UnreadableError(_NONE_OF_THEM)
    file.seek(0)


def _check_chunks(file: BinaryIO, size: int, order: Any) -> None:
    """Find the chunk of samples and see whether all of it is there."""
    for _ in range(_MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            return
        length, place = int.from_bytes(head[4:], order), file.tell()
        if head[:4] == b"data":
            if place + length > size and length not in _UNKNOWN_SIZES:
                raise UnreadableError(
                    f"the sound is cut off: {size - place:,} of {length:,} bytes are there"
                )
            return
        file.seek(place + length + length % 2)


def _check_last_page(file: BinaryIO, size: int) -> None:
    """See whether the last page of an OGG file is marked as the end of its stream."""
    file.seek(max(0, size - _OGG_TAIL - _OGG_HEADER))
    tail = file.read()
    place = tail.rfind(b"OggS")
    flags = tail[place + _OGG_FLAGS : place + _OGG_FLAGS + 1]
    if place < 0 or not flags or not flags[0] & _OGG_LAST:
        raise UnreadableError("the sound is cut off: its last page is missing")


def _reason(error: Exception) -> str:
    if isinstance(error, soundfile().LibsndfileError):
        return f"the sound is damaged: {error.error_string.strip().rstrip('.')[:100]}"
    if isinstance(error, MemoryError):
        return "it does not fit into memory"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    first = (str(error).strip() or type(error).__name__).splitlines()[0][:100]
    return f"the sound is damaged: {first}"
