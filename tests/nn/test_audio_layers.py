"""Layers over sound against a separate implementation with NumPy's FFT, and PyTorch's stft."""

import numpy as np
import pytest
from audio_layer_cases import CASES

import chainrule as cr
from chainrule.errors import ArgumentError, ShapeError, UnknownNameError
from chainrule.nn.layers.audio import hertz_of, mel_filters, mel_of

RATE = 8_000


def clips(count: int = 3, samples: int = 2_000, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    times = np.arange(samples) / RATE
    pitches = random.uniform(100, 3_000, (count, 5, 1))
    return (np.sin(2 * np.pi * pitches * times).sum(axis=1) + random.normal(0, 0.1, samples)) / 6


def power_spectrum(clip: np.ndarray, window: int, hop: int, fft: int) -> np.ndarray:
    """|X|^2 frame by frame, (frames, fft / 2 + 1), by NumPy."""
    hann = np.sin(np.pi * np.arange(window) / window) ** 2
    starts = range(0, len(clip) - window + 1, hop)
    return np.abs(np.stack([np.fft.rfft(clip[i : i + window] * hann, fft) for i in starts])) ** 2


def filters_by_definition(
    bands: int, fft: int, rate: float, low: float, high: float, scale: str
) -> np.ndarray:
    """The triangles, one number after the other."""
    if scale == "htk":
        mels = np.linspace(*(2595 * np.log10(1 + np.array([low, high]) / 700)), bands + 2)
        edges = 700 * (10 ** (mels / 2595) - 1)
    else:

        def to_mel(f: float) -> float:
            return f * 3 / 200 if f < 1000 else 15 + 27 * np.log(f / 1000) / np.log(6.4)

        mels = np.linspace(to_mel(low), to_mel(high), bands + 2)
        edges = np.array([m * 200 / 3 if m < 15 else 1000 * 6.4 ** ((m - 15) / 27) for m in mels])
    result = np.zeros((fft // 2 + 1, bands))
    for band in range(bands):
        left, centre, right = edges[band : band + 3]
        height = 1 if scale == "htk" else 2 / (right - left)
        for k in range(fft // 2 + 1):
            f = k * rate / fft
            if left < f <= centre:
                result[k, band] = height * (f - left) / (centre - left)
            elif centre < f < right:
                result[k, band] = height * (right - f) / (right - centre)
    return result


# ---- features


@pytest.mark.parametrize("scale", ["htk", "slaney"])
@pytest.mark.parametrize(
    ("window", "hop", "bands", "low", "high"),
    [(0.025, 0.01, 40, 0, None), (0.032, 0.016, 12, 100, 3_000), (0.01, 0.025, 20, 0, 4_000)],
)
def test_log_mel_is_that_of_numpy(scale, window, hop, bands, low, high) -> None:
    x = clips()
    layer = cr.layers.LogMel(
        RATE, bands, window=window, hop=hop, low=low, high=high, scale=scale, dtype="float64"
    )
    found = layer(cr.tensor(x)).numpy()
    length, step = round(window * RATE), round(hop * RATE)
    fft = 1 << (length - 1).bit_length()
    filters = filters_by_definition(bands, fft, RATE, low, high or RATE / 2, scale)
    np.testing.assert_allclose(mel_filters(bands, fft, RATE, low, high, scale), filters, atol=1e-12)
    for row in range(len(x)):
        energy = power_spectrum(x[row], length, step, fft) @ filters
        expected = np.log(np.maximum(energy, 1e-10))
        assert found[row].shape == (1 + (2_000 - length) // step, bands)
        np.testing.assert_allclose(found[row], expected, atol=1e-9)


@pytest.mark.parity
@pytest.mark.parametrize(("window", "hop"), [(256, 64), (200, 80)])
def test_log_mel_is_that_of_pytorch(window: int, hop: int) -> None:
    torch = pytest.importorskip("torch")
    x = clips()
    layer = cr.layers.LogMel(
        RATE, 32, window=window / RATE, hop=hop / RATE, scale="htk", dtype="float64"
    )
    # PyTorch centres a shorter window in the frame of the transform: only phases differ.
    padded = torch.nn.functional.pad(torch.tensor(x), ((256 - window) // 2, 256))
    spectrum = torch.stft(
        padded, 256, hop, window, torch.hann_window(window, dtype=torch.float64), center=False,
        return_complex=True,
    ).abs().pow(2)  # fmt: skip
    filters = torch.tensor(mel_filters(32, 256, RATE, scale="htk"))
    expected = torch.log(spectrum.mT @ filters)[:, : 1 + (2_000 - window) // hop]
    np.testing.assert_allclose(layer(cr.tensor(x)).numpy(), expected.numpy(), atol=1e-9)


def test_the_mel_scales() -> None:
    hertz = np.array([0.0, 1.0, 999.0, 1000.0, 1001.0, 8000.0, 24000.0])
    for scale in ("htk", "slaney"):
        np.testing.assert_allclose(hertz_of(mel_of(hertz, scale), scale), hertz, rtol=1e-12)
        assert (np.diff(mel_of(hertz, scale)) > 0).all()
    # Published values: 1,000 Hz are 15 mels of the Auditory Toolbox and about 1,000 of HTK.
    assert mel_of(1000.0).item() == pytest.approx(15)
    assert mel_of(1000.0, "htk").item() == pytest.approx(1000, abs=0.1)
    areas = mel_filters(10, 1 << 14, RATE).sum(axis=0) * RATE / (1 << 14)
    np.testing.assert_allclose(areas, 1, rtol=1e-3)
    np.testing.assert_allclose(
        mel_filters(10, 1 << 14, RATE, scale="htk").max(axis=0), 1, rtol=0.01
    )


def test_a_tone_is_in_its_band() -> None:
    times = np.arange(4_000) / RATE
    edges = hertz_of(np.linspace(0, mel_of(4_000), 42))
    for band in (3, 20, 36):
        tone = np.sin(2 * np.pi * edges[band + 1] * times)[None].astype("float32")
        found = cr.layers.LogMel(RATE)(tone).numpy()[0]
        assert set(found.argmax(axis=1)) == {band}


def test_the_floor_and_the_range() -> None:
    x = np.zeros((2, 800), "float32")
    x[0, :400] = clips(1, 400)[0]
    plain = cr.layers.LogMel(RATE, floor=1e-4)(x).numpy()
    assert plain[1].max() == plain.min() == np.float32(np.log(1e-4))
    for decibels in (10.0, 40.0):
        cut = cr.layers.LogMel(RATE, floor=1e-4, decibels=decibels)(x).numpy()
        least = plain.max(axis=(1, 2), keepdims=True) - decibels * np.log(10) / 10
        np.testing.assert_allclose(cut, np.maximum(plain, least), atol=1e-5)


def test_standardized_by_clip_and_band_without_the_silence_around() -> None:
    x = clips(2, 4_000)

    def standardized(clips: np.ndarray, way: str = "band") -> np.ndarray:
        return cr.layers.LogMel(RATE, standardize=way, dtype="float64")(cr.tensor(clips)).numpy()

    alone = standardized(x)
    np.testing.assert_allclose(alone.mean(axis=1), 0, atol=1e-9)
    # A little less than 1 where a band hardly changes, by what keeps the root from being 0.
    np.testing.assert_allclose(alone.std(axis=1), 1, atol=0.02)
    # Louder: the same.
    np.testing.assert_allclose(standardized(7 * x), alone, atol=1e-9)
    padded = np.pad(x, ((0, 0), (800, 1_600)))
    plain = cr.layers.LogMel(RATE, dtype="float64")(cr.tensor(padded)).numpy()
    # Frames of 200 samples, one every 80: those from 8 to 59 reach into the sound.
    heard = slice(8, 60)
    for way, axes in (("band", 1), ("clip", (1, 2))):
        centred = plain[:, heard] - plain[:, heard].mean(axis=axes, keepdims=True)
        variance = np.square(centred).mean(axis=axes, keepdims=True)
        found = standardized(padded, way)
        np.testing.assert_allclose(found[:, heard], centred / np.sqrt(variance + 1e-5), atol=1e-9)
        assert not found[:, :8].any()
        assert not found[:, 60:].any()
    assert not standardized(np.zeros((1, 900))).any()


@pytest.mark.parametrize("coefficients", [1, 13, 40])
def test_mfcc_is_the_cosine_transform(coefficients: int) -> None:
    fft = pytest.importorskip("scipy.fft")
    x = cr.tensor(clips())
    logs = cr.layers.LogMel(RATE, dtype="float64")(x).numpy()
    found = cr.layers.MFCC(RATE, coefficients, dtype="float64")(x).numpy()
    expected = fft.dct(logs, type=2, norm="ortho", axis=-1)[..., :coefficients]
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_compiled_as_eager() -> None:
    x = clips().astype("float32")
    for layer in (cr.layers.LogMel(RATE, standardize="band", decibels=50), cr.layers.MFCC(RATE)):
        eager = layer(x).numpy()
        np.testing.assert_allclose(cr.jit(layer)(x).numpy(), eager, atol=2e-3)


# ---- augmentation


def test_noise_is_as_loud_as_asked_for_and_only_where_there_is_sound() -> None:
    x = np.zeros((400, 600), "float32")
    x[:, 100:500] = clips(400, 400, seed=3)
    x[:, 300:310] = 0  # a pause is part of the sound
    noise = cr.layers.RandomNoise((10, 30), seed=1)(x, training=True).numpy() - x
    assert not noise[:, :100].any()
    assert not noise[:, 500:].any()
    assert noise[:, 300:310].any()
    ratios = 10 * np.log10(np.square(x).sum(1) / np.square(noise).sum(1))
    assert 8.5 < ratios.min() < 11.5
    assert 28.5 < ratios.max() < 31.5
    assert np.histogram(ratios, 4, (10, 30))[0].min() > 60
    silence = np.zeros((2, 50), "float32")
    assert not cr.layers.RandomNoise()(silence, training=True).numpy().any()


def test_time_shift_moves_whole_samples_and_fills_with_silence() -> None:
    x = np.tile(np.arange(1, 21, dtype="float32"), (500, 1))
    found = cr.layers.RandomTimeShift(0.25, seed=2)(x, training=True).numpy()
    shifts = [
        int(np.flatnonzero(row)[0]) or int(row[0] == 1) * 0 - int(row[0] - 1) for row in found
    ]
    assert sorted(set(shifts)) == list(range(-5, 6))
    for shift, row in zip(shifts, found, strict=True):
        expected = np.zeros(20, "float32")
        source = slice(max(0, -shift), 20 - max(0, shift))
        expected[max(0, shift) : 20 - max(0, -shift)] = x[0, source]
        np.testing.assert_array_equal(row, expected)


def test_warp_is_linear_interpolation() -> None:
    x = np.random.default_rng(0).normal(size=(60, 9, 7))
    layer = cr.layers.RandomWarp(0.3, 0.3, 0.2, seed=5, dtype="float64")
    found = layer(cr.tensor(x), training=True).numpy()
    assert not np.allclose(found, x)
    # The draws are read off a ramp of the same shape: where each frame and band was read.
    ramp = np.stack([np.tile(np.arange(1.0, 10)[:, None], (1, 7))] * 60)
    read = cr.layers.RandomWarp(0.3, 0.3, 0.2, seed=5, dtype="float64")(
        cr.tensor(ramp), training=True
    ).numpy()[:, :, 0] - 1  # fmt: skip
    bands = np.stack([np.tile(np.arange(7.0), (9, 1))] * 60)
    columns = cr.layers.RandomWarp(0.3, 0.3, 0.2, seed=5, dtype="float64")(
        cr.tensor(bands), training=True
    ).numpy()  # fmt: skip
    for n in range(60):
        inner = np.flatnonzero((read[n] > 0.01) & (read[n] < 7.99))
        assert len(inner) >= 3
        for t in inner:
            i = int(read[n, t])
            share = read[n, t] - i
            line = x[n, i] * (1 - share) + x[n, i + 1] * share
            expected = np.interp(columns[n, t], np.arange(7), line)
            np.testing.assert_allclose(found[n, t], expected, atol=1e-9)
        gaps = np.diff(read[n, inner])
        np.testing.assert_allclose(gaps, gaps[0], atol=1e-9)
        assert np.exp(-0.3) <= gaps[0] <= np.exp(0.3)


def test_warp_leaves_silence_beyond_the_ends() -> None:
    x = np.ones((200, 20, 4), "float32")
    found = cr.layers.RandomWarp(0, 0, 0.5, seed=3)(x, training=True).numpy()
    silent = (found == 0).all(axis=2).sum(axis=1)
    assert silent.max() in (8, 9)
    assert silent.min() == 0
    np.testing.assert_array_equal(found[found != 0], 1)


def test_spec_augment_blots_out_stretches() -> None:
    x = np.ones((3_000, 30, 20), "float32")
    found = cr.layers.SpecAugment(1, 6, 0, fill_value=-1, seed=1)(x, training=True).numpy()
    frames = (found == -1).all(axis=2)
    assert ((found == -1).any(axis=2) == frames).all()
    widths = frames.sum(axis=1)
    assert np.bincount(widths, minlength=7).min() > 300
    for row in frames[:200]:
        assert np.diff(row.astype(int)).clip(0).sum() + row[0] <= 1
    assert frames.any(axis=0).all()
    bands = cr.layers.SpecAugment(0, 0, 2, 5, seed=1)(x, training=True).numpy() == 0
    assert (bands.all(axis=1) == bands.any(axis=1)).all()
    assert bands.any(axis=1).sum(axis=1).max() <= 10
    whole = cr.layers.SpecAugment(1, 99, 1, 99)(x[:50], training=True).numpy()
    assert whole.shape == (50, 30, 20)
    np.testing.assert_array_equal(cr.layers.SpecAugment(0, 5, 0)(x[:2], training=True).numpy(), 1)


@pytest.mark.parametrize("name", ["RandomNoise", "RandomTimeShift", "RandomWarp", "SpecAugment"])
def test_augmentation_is_repeatable_and_in_training_only(name: str) -> None:
    make, _, options = CASES[name][0]
    x = options["inputs"].astype("float32")
    np.testing.assert_array_equal(make()(x).numpy(), x)
    first, second, third = make(), make(), make()
    first.tree_seed = second.tree_seed = 4
    third.tree_seed = 5
    again = [layer(x, training=True).numpy() for layer in (first, second, third)]
    np.testing.assert_array_equal(again[0], again[1])
    assert not np.array_equal(again[0], again[2])
    assert not np.array_equal(again[0], first(x, training=True).numpy())


# ---- mistakes


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: cr.layers.LogMel(8000, scale="bark"), UnknownNameError, "scale"),
        (lambda: cr.layers.LogMel(8000, standardize=True), UnknownNameError, "standardize"),
        (lambda: cr.layers.LogMel(8000, high=5000), ArgumentError, "bad high.*at most 4000 Hz"),
        (lambda: cr.layers.LogMel(8000, low=3000, high=2000), ArgumentError, "above low"),
        (lambda: cr.layers.LogMel(8000, window=0), ArgumentError, "bad window.*samples"),
        (lambda: cr.layers.LogMel(1e6, window=1), ArgumentError, "bad window.*4,096"),
        (lambda: cr.layers.LogMel(8000, 10**9), ArgumentError, "bad bands.*at most 512"),
        (lambda: cr.layers.LogMel(8000, hop=1e-9), ArgumentError, "bad hop"),
        (lambda: cr.layers.LogMel(8000, floor=0), ArgumentError, "bad floor"),
        (lambda: cr.layers.MFCC(8000, 41), ArgumentError, "more coefficients than bands"),
        (lambda: cr.layers.RandomNoise((3, 2)), ArgumentError, "bad decibels"),
        (lambda: cr.layers.RandomNoise(3), ArgumentError, "bad decibels"),
        (lambda: cr.layers.RandomTimeShift(1.1), ArgumentError, "bad factor"),
        (lambda: cr.layers.RandomWarp(-1), ArgumentError, "bad time"),
        (lambda: cr.layers.SpecAugment(10**9), ArgumentError, "too many masks"),
        (lambda: cr.layers.SpecAugment(1, 2.5), ArgumentError, "bad time_width"),
    ],
)
def test_wrong_arguments(make, error, words: str) -> None:
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: cr.layers.LogMel(8000), (2, 100)),
        (lambda: cr.layers.LogMel(8000), (2, 800, 1)),
        (lambda: cr.layers.RandomNoise(), (2, 8, 1)),
        (lambda: cr.layers.SpecAugment(), (2, 8)),
        (lambda: cr.layers.RandomWarp(), (2, 1, 8)),
    ],
)
def test_wrong_shapes(make, shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="wrong input shape"):
        make()(np.ones(shape, "float32"), training=True)
