"""Layers that change pictures at random: what they do, where values stay, repeatable to the bit."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

import chainrule as cr
from chainrule.backends.cpu import threads
from chainrule.errors import ArgumentError, ShapeError, UnknownNameError
from chainrule.nn.sampling import FILL_MODES, bilinear_samples, pixels_at

RNG = np.random.default_rng(23)
LAYERS: dict[str, Callable[..., cr.Layer]] = {
    "flip": lambda **o: cr.layers.RandomFlip("horizontal_and_vertical", **o),
    "shift": lambda **o: cr.layers.RandomShift(0.3, **o),
    "crop": lambda **o: cr.layers.RandomCrop(6, 8, **o),
    "rotation": lambda **o: cr.layers.RandomRotation(0.2, **o),
    "zoom": lambda **o: cr.layers.RandomZoom(0.4, (-0.5, 0.1), **o),
    "brightness": lambda **o: cr.layers.RandomBrightness(0.5, **o),
    "contrast": lambda **o: cr.layers.RandomContrast(0.9, **o),
    "cutout": lambda **o: cr.layers.Cutout(4, rate=0.7, **o),
}
# scipy's names for the same ways of continuing a picture
SCIPY_MODES = {
    "constant": "grid-constant",
    "nearest": "nearest",
    "reflect": "reflect",
    "wrap": "grid-wrap",
}


def pictures(count: int = 16, height: int = 8, width: int = 10, channels: int = 3) -> np.ndarray:
    return RNG.uniform(0, 1, (count, height, width, channels)).astype("float32")


def changed(layer: cr.Layer, x: np.ndarray) -> np.ndarray:
    return layer(x, training=True).numpy()


# ---- sampling


@pytest.mark.parametrize("mode", FILL_MODES)
def test_bilinear_samples_are_those_of_scipy(mode: str) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    x = RNG.standard_normal((2, 5, 7, 2))
    rows, columns = RNG.uniform(-9, 14, (2, 6, 4)), RNG.uniform(-9, 16, (2, 6, 4))
    found = bilinear_samples(cr.tensor(x), cr.tensor(rows), cr.tensor(columns), mode, 0.7).numpy()
    for n in range(2):
        for c in range(2):
            expected = ndimage.map_coordinates(
                x[n, :, :, c], [rows[n], columns[n]], order=1, mode=SCIPY_MODES[mode], cval=0.7
            )
            np.testing.assert_allclose(found[n, :, :, c], expected, atol=1e-12)


@pytest.mark.parametrize("mode", FILL_MODES)
def test_pixels_outside_are_those_of_numpy_pad(mode: str) -> None:
    x = RNG.standard_normal((3, 4, 5, 2))
    widths = ((0, 0), (4, 4), (5, 5), (0, 0))
    names = {"constant": "constant", "nearest": "edge", "reflect": "symmetric", "wrap": "wrap"}
    expected = np.pad(x, widths, mode=names[mode])  # type: ignore[call-overload]
    rows, columns = np.arange(-4, 8)[:, None], np.arange(-5, 10)
    found = pixels_at(cr.tensor(x), cr.tensor(rows), cr.tensor(columns[None]), mode)
    np.testing.assert_array_equal(found.numpy(), expected)


# ---- what each layer does


def test_flip_gives_each_mirror_image_equally_often() -> None:
    x = np.broadcast_to(pictures(1, 3, 4, 2), (4000, 3, 4, 2))
    for mode, kinds in {
        "horizontal": [x[0], x[0][:, ::-1]],
        "vertical": [x[0], x[0][::-1]],
        "horizontal_and_vertical": [x[0], x[0][:, ::-1], x[0][::-1], x[0][::-1, ::-1]],
    }.items():
        found = changed(cr.layers.RandomFlip(mode, seed=1), x)
        shares = [np.mean([np.array_equal(one, kind) for one in found]) for kind in kinds]
        assert sum(shares) == 1
        np.testing.assert_allclose(shares, 1 / len(kinds), atol=0.04)


def test_shift_moves_by_whole_pixels_and_reaches_both_ends() -> None:
    x = np.zeros((600, 10, 20, 1), "float32")
    x[:, 5, 10] = 1
    layer = cr.layers.RandomShift(0.2, (-0.1, 0.25), fill_mode="constant", seed=2)
    _, rows, columns, _ = np.nonzero(changed(layer, x))
    assert sorted(set(rows - 5)) == [-2, -1, 0, 1, 2]
    assert sorted(set(columns - 10)) == [-2, -1, 0, 1, 2, 3, 4, 5]
    assert np.corrcoef(rows, columns)[0, 1] < 0.2


@pytest.mark.parametrize("mode", FILL_MODES)
def test_shift_fills_as_its_mode_says(mode: str) -> None:
    x = pictures(1, 5, 6, 2)
    layer = cr.layers.RandomShift((0.4, 0.4), (-0.5, -0.5), fill_mode=mode, fill_value=0.5)
    names = {"constant": "constant", "nearest": "edge", "reflect": "symmetric", "wrap": "wrap"}
    extra = {"constant_values": 0.5} if mode == "constant" else {}
    padded = np.pad(x, ((0, 0), (2, 0), (0, 3), (0, 0)), mode=names[mode], **extra)
    np.testing.assert_array_equal(changed(layer, x), padded[:, :5, 3:])


def test_crop_takes_every_part_in_training_and_the_centre_else() -> None:
    x = np.arange(12.0, dtype="float32").reshape(1, 3, 4, 1)
    layer = cr.layers.RandomCrop(2, 3, seed=3)
    found = changed(layer, np.broadcast_to(x, (200, 3, 4, 1)))[..., 0]
    parts = {(i, j): x[0, i : i + 2, j : j + 3, 0] for i in (0, 1) for j in (0, 1)}
    counts = [sum(np.array_equal(one, part) for one in found) for part in parts.values()]
    assert sum(counts) == 200
    assert min(counts) > 25
    np.testing.assert_array_equal(layer(pictures(2, 6, 7)).numpy().shape, (2, 2, 3, 3))
    big = pictures(2, 6, 7)
    np.testing.assert_array_equal(layer(big).numpy(), big[:, 2:4, 2:5])


def test_quarter_turns_are_those_of_numpy() -> None:
    x = pictures(2, 6, 6)
    for quarters in (-1, 1, 2, 3):
        layer = cr.layers.RandomRotation((quarters / 4, quarters / 4))
        expected = np.rot90(x, quarters, (1, 2))
        np.testing.assert_allclose(changed(layer, x), expected, atol=1e-5)


def test_rotation_is_that_of_scipy() -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    x = RNG.uniform(size=(1, 9, 9, 1))
    layer = cr.layers.RandomRotation((0.1, 0.1), fill_mode="constant", dtype="float64")
    expected = ndimage.rotate(x[0, :, :, 0], 36, reshape=False, order=1, mode="grid-constant")
    np.testing.assert_allclose(changed(layer, x)[0, :, :, 0], expected, atol=1e-12)


def test_zoom_out_and_in() -> None:
    x = np.zeros((1, 8, 8, 1), "float32")
    x[:, 2:6, 2:6] = 1
    smaller = changed(cr.layers.RandomZoom((1.0, 1.0), fill_mode="constant"), x)
    larger = changed(cr.layers.RandomZoom((-0.5, -0.5)), x)
    assert smaller.sum() == pytest.approx(4)
    assert smaller[0, 3:5, 3:5].min() == 1
    assert larger.sum() > 45
    wide = changed(cr.layers.RandomZoom((0.0, 0.0), (-0.5, -0.5)), x)
    np.testing.assert_array_equal(wide[0, :, 4, 0], x[0, :, 4, 0])
    assert wide.sum() > 25


def test_brightness_and_contrast_by_hand() -> None:
    x = pictures(4)
    lighter = changed(cr.layers.RandomBrightness((0.3, 0.3)), x)
    np.testing.assert_allclose(lighter, np.clip(x + 0.3, 0, 1), atol=1e-6)
    mean = x.mean((1, 2), keepdims=True)
    stronger = changed(cr.layers.RandomContrast((0.5, 0.5)), x)
    np.testing.assert_allclose(stronger, np.clip(mean + 1.5 * (x - mean), 0, 1), atol=1e-6)
    spread = changed(cr.layers.RandomBrightness(0.2, seed=5), np.full((2000, 1, 1, 1), 0.5, "f"))
    assert spread.min() == pytest.approx(0.3, abs=0.001)
    assert spread.max() == pytest.approx(0.7, abs=0.001)
    assert spread.mean() == pytest.approx(0.5, abs=0.01)


def test_cutout_blots_a_rectangle_around_any_pixel() -> None:
    x = np.ones((3000, 5, 6, 2), "float32")
    found = changed(cr.layers.Cutout((3, 2), fill_value=0.25, seed=6), x)
    blotted = found == 0.25
    assert ((found == 1) | blotted).all()
    rows, columns = blotted.any((2, 3)).sum(1), blotted.any((1, 3)).sum(1)
    assert set(rows) == {2, 3}  # a centre in the first or last row loses one
    assert set(columns) == {1, 2}
    np.testing.assert_array_equal(blotted.sum((1, 2, 3)), rows * columns * 2)
    assert np.mean(rows == 2) == pytest.approx(2 / 5, abs=0.04)
    half = changed(cr.layers.Cutout(2, rate=0.5, seed=6), x)
    assert (half == 0).any((1, 2, 3)).mean() == pytest.approx(0.5, abs=0.04)


# ---- what all keep


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_values_stay_in_range_and_keep_their_dtype(name: str, kind: str) -> None:
    layer = LAYERS[name](seed=4)
    x = pictures(32)
    x = (x * 255.99).astype("uint8") if kind == "uint8" else x
    found = changed(layer, x)
    assert found.dtype == layer(x).dtype == x.dtype
    assert not np.array_equal(found[:, : x.shape[1]], layer(x).numpy())
    limit = 255 if kind == "uint8" else 1
    assert found.min() >= (0 if kind == "uint8" else -1e-6)
    assert found.max() <= limit * (1 + 1e-6)
    if kind == "uint8":
        floating = changed(LAYERS[name](seed=4), x.astype("float32"))
        if name not in ("brightness", "contrast"):  # which take floats to be from 0 to 1
            np.testing.assert_array_equal(found, np.rint(floating).astype("uint8"))


@pytest.mark.parametrize("name", LAYERS)
def test_pictures_differ_from_each_other_and_from_call_to_call(name: str) -> None:
    x = np.broadcast_to(pictures(1), (16, 8, 10, 3))
    layer = LAYERS[name](seed=8)
    first, second = changed(layer, x), changed(layer, x)
    assert len({one.tobytes() for one in first}) > 3
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("name", [name for name in LAYERS if name != "crop"])
def test_pictures_pass_unchanged_outside_training(name: str) -> None:
    x = pictures()
    np.testing.assert_array_equal(LAYERS[name]()(x).numpy(), x)


def all_layers() -> cr.Sequential:
    return cr.Sequential([make() for make in LAYERS.values()])


def numbers_of_a_fit(count: int | None) -> list[np.ndarray]:
    """The pictures that one seed gives, and the weights after a fit on such."""
    x = np.random.default_rng(0).uniform(0, 1, (192, 8, 10, 3)).astype("float32")
    with cr.settings(threads=count):
        model = all_layers()
        model.tree_seed = 7
        step = cr.jit(lambda v: model(v, training=True))
        found = [step(x).numpy() for _ in range(2)]
        trained = cr.Sequential([all_layers(), cr.layers.Flatten(), cr.layers.Dense(4)])
        y = np.arange(192) % 4
        trained.fit(x, y, loss="cross_entropy", batch_size=64, epochs=2, seed=5, verbose=0)
        return [*found, *trained.get_weights()]


def test_the_same_bits_on_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    shared: list[float] = []
    monkeypatch.setattr(threads.Pace, "choose", lambda *_: threads.Slice(True, 0.05))
    monkeypatch.setattr(
        threads.Pace, "record", lambda _, share, count, *rest: shared.append(share * count)
    )
    expected = numbers_of_a_fit(1)
    assert not any(shared)
    for count in (2, 3):
        for one, other in zip(expected, numbers_of_a_fit(count), strict=True):
            assert one.tobytes() == other.tobytes()
    assert any(shared)
    assert not np.array_equal(expected[0], expected[1])


def test_the_same_bits_in_another_process() -> None:
    program = (
        "import hashlib, numpy as np, chainrule as cr\n"
        "x = np.random.default_rng(0).uniform(0, 1, (8, 8, 10, 3)).astype('float32')\n"
        "model = cr.Sequential([cr.layers.RandomFlip(), cr.layers.RandomShift(),\n"
        "    cr.layers.RandomRotation(0.2), cr.layers.RandomZoom(0.3), cr.layers.Cutout(3),\n"
        "    cr.layers.RandomBrightness(0.3), cr.layers.RandomContrast(0.3)])\n"
        "model.tree_seed = 3\n"
        "step = cr.jit(lambda v: model(v, training=True))\n"
        "print(hashlib.sha256(step(x).numpy().tobytes()).hexdigest())\n"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    }
    assert len(found) == 1
    assert len(found.pop().strip()) == 64


def test_gradients_reach_the_pixels_that_are_seen() -> None:
    x = cr.tensor(pictures(2, 4, 4, 1))
    layer = cr.layers.RandomShift((0.25, 0.25), (0.0, 0.0), fill_mode="constant")
    with cr.GradientTape() as tape:
        tape.watch(x)
        total = layer(x, training=True).sum()
    gradient = tape.gradient(total, x).numpy()
    np.testing.assert_array_equal(gradient[:, :3], 1)
    np.testing.assert_array_equal(gradient[:, 3:], 0)


# ---- bad input


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: cr.layers.RandomShift(-0.1), "bad height_factor"),
        (lambda: cr.layers.RandomShift(0.1, (0.3, 0.1)), "low not above high"),
        (lambda: cr.layers.RandomZoom(1.0), "less than 1"),
        (lambda: cr.layers.RandomZoom((-1.0, 0.0)), "low above -1"),
        (lambda: cr.layers.RandomRotation("much"), "a finite number"),
        (lambda: cr.layers.RandomContrast((0.1, 0.2, 0.3)), "low, high"),
        (lambda: cr.layers.RandomBrightness(0.1, value_range=255), "bad value_range"),
        (lambda: cr.layers.Cutout(0), "bad size"),
        (lambda: cr.layers.Cutout((1, 2, 3)), "height, width"),
        (lambda: cr.layers.Cutout(3, rate=1.5), "a share"),
        (lambda: cr.layers.RandomCrop(0, 3), "bad height"),
    ],
)
def test_bad_arguments(make: Callable[[], cr.Layer], text: str) -> None:
    with pytest.raises(ArgumentError, match=text):
        make()


def test_unknown_words() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'horizontal'"):
        cr.layers.RandomFlip("horizontl")
    with pytest.raises(UnknownNameError, match="did you mean 'reflect'"):
        cr.layers.RandomRotation(0.1, fill_mode="reflct")


@pytest.mark.parametrize("training", [False, True])
def test_wrong_shapes(training: bool) -> None:
    with pytest.raises(ShapeError, match=r"\(batch, height, width, channels\)"):
        cr.layers.RandomFlip()(np.ones((4, 28, 28)), training=training)
    with pytest.raises(ShapeError, match="a width of at least 9"):
        cr.layers.RandomCrop(4, 9)(np.ones((2, 8, 8, 1)), training=training)
