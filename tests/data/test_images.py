"""cr.data.images: folders and tables of pictures as arrays."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from picture_files import (
    BLUE,
    GREEN,
    GREY,
    RED,
    bmp_bomb,
    corners,
    encoded,
    gif_bomb,
    png_bomb,
    two_classes,
    webp_bomb,
    write,
)
from PIL import Image

import chainrule as cr
from chainrule.data import ImagePreparation, read_pictures
from chainrule.data.image_decoding import ASPECTS
from chainrule.errors import (
    ArgumentError,
    DataError,
    FileAccessError,
    FileFormatError,
    MissingDependencyError,
)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return two_classes(tmp_path / "pictures")


def one(path: Path, height: int, width: int, channels: int = 3, **options: object) -> np.ndarray:
    """The array of a single file."""
    wanted = ImagePreparation(height, width, channels, **options)
    return read_pictures([path], wanted).x[0]


def quarters(array: np.ndarray) -> list[list[int]]:
    """The colours in the middles of the four quarters, row by row."""
    h, w = array.shape[0] // 4, array.shape[1] // 4
    return [array[i, j].astype(int).tolist() for i in (h, 3 * h) for j in (w, 3 * w)]


def close(found: list[list[int]], expected: list[tuple[int, int, int]], within: int = 3) -> bool:
    return bool(np.abs(np.array(found) - np.array(expected)).max() <= within)


# ---- folders


def test_a_folder_gives_pictures_and_classes_in_the_order_of_their_names(folder: Path) -> None:
    data = cr.data.images(folder)
    assert data.x.shape == (6, 12, 12, 1)
    assert data.x.dtype == np.uint8
    assert data.y.dtype == np.int32
    assert data.classes == ["dark", "light"]
    assert data.y.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.counts == [3, 3]
    assert data.paths == [f"{c}/{i}.png" for c in ("dark", "light") for i in range(3)]
    assert data.skipped == []
    for row, path in enumerate(data.paths):
        with Image.open(folder / path) as picture:
            assert (data.x[row, :, :, 0] == np.asarray(picture)).all()
    part = data.take(np.array([4, 0]))
    assert (part.paths, part.y.tolist()) == (["light/1.png", "dark/0.png"], [1, 0])
    assert (part.x == data.x[[4, 0]]).all()


def test_inner_folders_belong_to_their_class(folder: Path) -> None:
    write(folder / "dark" / "more" / "deep" / "x.png", Image.new("L", (12, 12)))
    data = cr.data.images(folder)
    assert "dark/more/deep/x.png" in data.paths
    assert data.counts == [4, 3]


def test_what_cannot_be_used_is_listed_with_the_reason(folder: Path) -> None:
    (folder / "loose.png").write_bytes(encoded(Image.new("L", (12, 12)), "PNG"))
    (folder / "dark" / "notes.txt").write_text("no picture")
    (folder / "dark" / ".hidden.png").write_bytes(b"")
    (folder / "dark" / "Thumbs.db").write_bytes(b"")
    (folder / "empty").mkdir()
    (folder / "light" / "nothing.png").write_bytes(b"")
    (folder / "light" / "text.jpg").write_text("not a picture at all")
    (folder / "light" / "bomb.png").write_bytes(png_bomb(60_000, 60_000))
    good = encoded(corners(), "JPEG")
    (folder / "light" / "cut.jpg").write_bytes(good[: len(good) // 2])
    data = cr.data.images(folder)
    assert len(data) == 6
    reasons = dict(data.skipped)
    assert len(reasons) == len(data.skipped)
    assert reasons.keys() == {
        "loose.png", "dark/notes.txt", "empty", "light/nothing.png", "light/text.jpg",
        "light/bomb.png", "light/cut.jpg",
    }  # fmt: skip
    assert "in no sub-folder" in reasons["loose.png"]
    assert "does not end in .jpg" in reasons["dark/notes.txt"]
    assert reasons["empty"] == "no pictures are in this folder"
    assert reasons["light/nothing.png"] == "the file is empty"
    assert reasons["light/text.jpg"] == "this is no JPEG, PNG, WEBP, BMP or GIF picture"
    assert "pixels" in reasons["light/bomb.png"]
    assert "truncated" in reasons["light/cut.jpg"].lower()
    assert data.classes == ["dark", "light"]


@pytest.mark.skipif(os.name != "posix", reason="makes links")
def test_links_out_of_the_folder_are_not_followed(folder: Path, tmp_path: Path) -> None:
    outside = write(tmp_path / "outside" / "secret.png", Image.new("L", (12, 12)))
    (folder / "dark" / "file.png").symlink_to(outside)
    (folder / "dark" / "relative.png").symlink_to("../../outside/secret.png")
    (folder / "light" / "inner").symlink_to(outside.parent)
    (folder / "third").symlink_to(outside.parent)
    (folder / "light" / "loop").symlink_to(folder)
    (folder / "light" / "self.png").symlink_to("self.png")
    (folder / "light" / "same.png").symlink_to("0.png")
    os.mkfifo(folder / "light" / "pipe.png")
    data = cr.data.images(folder)
    assert len(data) == 7
    assert "light/same.png" in data.paths
    reasons = dict(data.skipped)
    for name in ("dark/file.png", "dark/relative.png", "light/inner", "third"):
        assert reasons[name] == "a link that leads out of the folder"
    assert reasons["light/loop"] == "a link to a folder, which is not followed"
    assert reasons["light/pipe.png"] == "this is not an ordinary file"
    assert "light/self.png" in reasons
    linked = tmp_path / "linked"
    linked.symlink_to(folder)
    assert len(cr.data.images(linked)) == 7


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda f: f / "nowhere", FileAccessError, "no such file"),
        (lambda f: (f / "empty").mkdir() or f / "empty", DataError, "there are no pictures"),
        (lambda f: f / "dark", DataError, "no pictures: got .*in no sub-folder"),
    ],
)
def test_folders_without_classes(folder: Path, make, error, words) -> None:
    with pytest.raises(error, match=words):
        cr.data.images(make(folder))


def test_one_class_is_refused_even_if_others_could_not_be_read(folder: Path) -> None:
    for path in (folder / "light").iterdir():
        path.write_bytes(b"\x89PNG damaged")
    with pytest.raises(DataError, match=r"all of one class: got 3 of class 'dark'.*light/0.png"):
        cr.data.images(folder)


def test_it_is_fatal_when_nothing_can_be_read(folder: Path) -> None:
    for path in folder.rglob("*.png"):
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match=r"none of the 6 pictures can be read: got dark/0.png"):
        cr.data.images(folder)


# ---- tables


def test_a_table_of_paths_and_labels(folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "secret.png", Image.new("L", (12, 12)))
    table = folder / "labels.csv"
    lines = ["file,kind,class", "dark/0.png,1,7", "light/0.png,1,3", "dark/1.png,2,7"]
    lines += ["../secret.png,1,7", f"{tmp_path / 'secret.png'},1,7", "gone.png,1,7", ",1,7"]
    lines += ["light/1.png,1,"]
    table.write_text("\n".join(lines))
    data = cr.data.images(table)
    assert data.paths == ["dark/0.png", "light/0.png", "dark/1.png"]
    assert (data.classes, data.y.tolist()) == (["3", "7"], [1, 0, 1])
    assert [reason for _, reason in data.skipped] == [
        "leads out of the folder", "leads out of the folder", "there is no such file",
        "the path or the label is missing", "the path or the label is missing",
    ]  # fmt: skip
    assert cr.data.images(table, path_column="file", label_column="kind").classes == ["1", "2"]
    two = folder / "two.csv"
    two.write_text("where,what\ndark/0.png,night\nlight/0.png,day\n")
    assert cr.data.images(two).classes == ["day", "night"]


@pytest.mark.parametrize(
    ("text", "options", "error", "words"),
    [
        ("a,b,c\nx,y,z\n", {}, DataError, "not clear which column is the path: got a, b, c"),
        ("file,b,c\nx,y,z\n", {}, DataError, "which column is the label"),
        ("file,label\nx,y\n", {"path_column": "fil"}, DataError, "did you mean 'file'"),
        ("file,label\ndark/0.png,0.5\n", {}, DataError, "fraction cannot be classes: got 0.5"),
        ("", {}, FileFormatError, "the file is empty"),
        ("file,label\nx,1\ny,2\n", {}, DataError, "no pictures"),
    ],
)
def test_tables_that_say_too_little(folder: Path, text, options, error, words) -> None:
    (folder / "t.csv").write_text(text)
    with pytest.raises(error, match=words):
        cr.data.images(folder / "t.csv", **options)


# ---- formats


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.png", {}),
        ("a.bmp", {}),
        ("a.gif", {}),
        ("a.jpg", {"quality": 95, "subsampling": 0}),
        ("a.webp", {"lossless": True}),
    ],
)
def test_formats(tmp_path: Path, name: str, options: dict) -> None:
    found = one(write(tmp_path / name, corners(), **options), 16, 16)
    assert found.dtype == np.uint8
    assert close(quarters(found), [RED, GREEN, BLUE, GREY], within=6)
    grey = one(tmp_path / name, 16, 16, 1)
    assert grey.shape == (16, 16, 1)
    assert abs(int(grey[12, 12, 0]) - 128) < 6


def test_content_counts_not_the_name(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(corners(), "PNG"))
    assert close(quarters(one(path, 16, 16)), [RED, GREEN, BLUE, GREY])
    # A format that Pillow knows and the library does not offer is never handed to its decoder.
    for kind in ("TIFF", "PPM", "ICO", "TGA", "EPS"):
        path.write_bytes(encoded(corners(), kind))
        with pytest.raises(DataError, match="this is no JPEG, PNG"):
            one(path, 16, 16)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpg", "png", "webp"])
def test_pictures_are_put_upright(tmp_path: Path, orientation: int, kind: str) -> None:
    upright = corners(16, 32)
    # How a camera stores it: the inverse of what the orientation asks a viewer to do.
    stored = {
        1: lambda p: p,
        2: lambda p: p.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: lambda p: p.transpose(Image.Transpose.ROTATE_180),
        4: lambda p: p.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: lambda p: p.transpose(Image.Transpose.TRANSPOSE),
        6: lambda p: p.transpose(Image.Transpose.ROTATE_90),
        7: lambda p: p.transpose(Image.Transpose.TRANSVERSE),
        8: lambda p: p.transpose(Image.Transpose.ROTATE_270),
    }[orientation](upright)
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name in ("a/x", "b/y"):
        write(tmp_path / "d" / f"{name}.{kind}", stored, exif=exif)
    data = cr.data.images(tmp_path / "d")
    assert data.x.shape == (2, 16, 32, 3)
    assert close(quarters(data.x[0]), [RED, GREEN, BLUE, GREY], within=40)


def test_damaged_exif_does_not_cost_the_picture(tmp_path: Path) -> None:
    for exif in (
        b"Exif\0\0MM\0*\xff\xff\xff\xff",
        b"Exif\0\0",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01",
    ):
        path = write(tmp_path / "a.jpg", corners(), exif=exif, quality=95)
        assert close(quarters(one(path, 16, 16)), [RED, GREEN, BLUE, GREY], within=40)


def test_cmyk_palette_and_transparency_become_plain_colours(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jpg", corners().convert("CMYK"), quality=95)
    assert close(quarters(one(path, 16, 16)), [RED, GREEN, BLUE, GREY], within=40)
    path = write(tmp_path / "a.png", corners().convert("P", palette=Image.Palette.ADAPTIVE))
    assert close(quarters(one(path, 16, 16)), [RED, GREEN, BLUE, GREY])
    clear = corners().convert("RGBA")
    clear.putalpha(Image.fromarray(np.uint8([[255, 0], [255, 255]])).resize((16, 16), 0))
    path = write(tmp_path / "b.png", clear)
    white = (255, 255, 255)
    assert close(quarters(one(path, 16, 16)), [RED, white, BLUE, GREY])
    assert close(quarters(one(path, 16, 16, background=0)), [RED, (0, 0, 0), BLUE, GREY])
    indexed = corners().quantize(4)
    path = write(tmp_path / "c.png", indexed, transparency=indexed.getpixel((12, 2)))
    assert close(quarters(one(path, 16, 16)), [RED, white, BLUE, GREY])
    path = write(tmp_path / "d.png", corners().convert("L"), transparency=128)
    assert one(path, 16, 16, 1)[12, 12, 0] == 255
    path = write(tmp_path / "e.png", corners().convert("LA"))
    assert one(path, 16, 16, 1)[12, 12, 0] == 128
    path = write(tmp_path / "f.png", corners().convert("1", dither=Image.Dither.NONE))
    assert set(np.unique(one(path, 16, 16, 1))) == {0, 255}


def test_of_an_animation_the_first_picture_counts(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (GREEN, BLUE, RED)]
    for name in ("a.gif", "a.png", "a.webp"):
        options = {"lossless": True} if name.endswith("webp") else {}
        path = write(tmp_path / name, corners(), save_all=True, append_images=frames, **options)
        assert close(quarters(one(path, 16, 16)), [RED, GREEN, BLUE, GREY], within=6)


def test_sixteen_bits(tmp_path: Path) -> None:
    levels = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    for name, low in (("a/x.png", levels), ("b/y.png", levels[::-1].copy())):
        write(tmp_path / name, Image.fromarray(low))
    data = cr.data.images(tmp_path)
    assert data.x.shape == (2, 8, 8, 1)
    assert np.abs(data.x[0, :, :, 0] - levels / 257).max() <= 0.51
    fine = cr.data.images(tmp_path, dtype="float32")
    assert fine.x.dtype == np.float32
    assert np.abs(fine.x[0, :, :, 0] - levels / 65535).max() < 1e-7
    assert one(tmp_path / "a/x.png", 4, 4).shape == (4, 4, 3)


def test_float_pictures_of_eight_bits_are_0_to_1(folder: Path) -> None:
    whole, parts = cr.data.images(folder), cr.data.images(folder, dtype="float32")
    assert np.abs(whole.x / 255 - parts.x).max() < 1e-6


# ---- shapes


def test_aspect(tmp_path: Path) -> None:
    path = write(tmp_path / "wide.png", corners(16, 64))
    assert close(quarters(one(path, 16, 16)), [RED, GREEN, BLUE, GREY])
    cut = one(path, 16, 16, aspect="crop")
    assert (cut[0, 0] == RED).all()
    assert (cut[15, 15] == GREY).all()
    assert cut[8, 8].tolist() == list(GREY)
    padded = one(path, 16, 16, aspect="pad", background=77)
    assert (padded[:6] == 77).all()
    assert (padded[10:] == 77).all()
    assert close(quarters(padded[6:10]), [RED, GREEN, BLUE, GREY], within=40)
    tall = write(tmp_path / "tall.png", corners(64, 16))
    assert (one(tall, 16, 16, aspect="pad", background=0)[:, :6] == 0).all()
    for aspect in ASPECTS:
        assert one(path, 7, 90, aspect=aspect).shape == (7, 90, 3)
        assert one(tall, 5, 3, 1, aspect=aspect, dtype="float32").shape == (5, 3, 1)


def test_shrinking_averages_instead_of_picking(tmp_path: Path) -> None:
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255
    path = write(tmp_path / "a.png", Image.fromarray(stripes))
    assert np.abs(one(path, 8, 8, 1).astype(int) - 127).max() <= 6
    path = write(tmp_path / "b.jpg", Image.fromarray(stripes), quality=95)
    assert np.abs(one(path, 8, 8, 1).astype(int) - 127).max() <= 6


def test_size_and_channels_follow_from_the_pictures(folder: Path) -> None:
    assert cr.data.images(folder).preparation.shape == (12, 12, 1)
    write(folder / "dark" / "colour.png", corners(12, 12))
    assert cr.data.images(folder).preparation.shape == (12, 12, 3)
    write(folder / "dark" / "large.png", corners(40, 30))
    assert cr.data.images(folder).preparation.shape == (64, 64, 3)
    assert cr.data.images(folder, size=(9, 7), channels=1).x.shape == (8, 9, 7, 1)
    assert cr.data.images(folder, size=5).x.shape == (8, 5, 5, 3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 0}, "wrong size: got 0"),
        ({"size": (4, 5, 6)}, "wrong size"),
        ({"size": 5000}, "1 to 4096"),
        ({"size": True}, "wrong size"),
        ({"aspect": "fit"}, "stretch or crop or pad"),
        ({"channels": 2}, "1, 3 or None"),
        ({"dtype": "float16"}, "uint8 or float32"),
        ({"background": 256}, "0 to 255"),
        ({"workers": 0}, "wrong workers"),
        ({"max_pixels": 0}, "at least 1"),
        ({"max_bytes": 0}, "at least 1"),
    ],
)
def test_wrong_arguments(folder: Path, options: dict, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        cr.data.images(folder, **options)


def test_more_than_memory_should_be_taken_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chainrule.data.image_reading.MAX_ARRAY_BYTES", 1000)
    with pytest.raises(DataError, match="too much memory: got 6 of 64 × 64 pixels"):
        cr.data.images(folder, size=64)


# ---- limits of a file


MEMORY = """
import resource, sys, chainrule as cr

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

cr.data.images(sys.argv[1])
before = peak()
data = cr.data.images(sys.argv[2])
print(len(data), sorted(path for path, _ in data.skipped), (peak() - before) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="measures in kibibytes")
def test_picture_bombs_are_refused_before_they_take_memory(tmp_path: Path) -> None:
    plain, bombs = two_classes(tmp_path / "plain"), two_classes(tmp_path / "bombs")
    (bombs / "dark" / "a.png").write_bytes(png_bomb(30_000, 30_000))
    (bombs / "dark" / "b.png").write_bytes(png_bomb(9_000, 9_000))
    (bombs / "dark" / "c.webp").write_bytes(webp_bomb(16_384, 16_384))
    (bombs / "dark" / "d.gif").write_bytes(gif_bomb(65_535, 65_535))
    (bombs / "dark" / "e.bmp").write_bytes(bmp_bomb(40_000, 40_000))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", MEMORY, str(plain), str(bombs)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    expected = [f"dark/{name}" for name in ("a.png", "b.png", "c.webp", "d.gif", "e.bmp")]
    said, grown = done.stdout.rsplit(maxsplit=1)
    assert said == f"6 {expected}"
    assert int(grown) < 30


def test_limits_of_pixels_and_bytes(folder: Path) -> None:
    write(folder / "dark" / "large.png", Image.new("L", (100, 100)))
    data = cr.data.images(folder, max_pixels=9_999)
    assert data.skipped == [("dark/large.png", "100 × 100 pixels, over 9,999")]
    assert cr.data.images(folder, max_pixels=10_000).skipped == []
    size = (folder / "dark" / "0.png").stat().st_size
    (folder / "dark" / "long.png").write_bytes(bytes(3 * size))
    data = cr.data.images(folder, max_bytes=2 * size)
    assert (
        dict(data.skipped)["dark/long.png"] == f"the file has {3 * size:,} bytes, over {2 * size:,}"
    )


# ---- threads, progress, cache


def test_threads_change_nothing(tmp_path: Path) -> None:
    folder = two_classes(tmp_path / "many", count=60, size=20)
    (folder / "dark" / "7.png").write_bytes(b"damaged")
    before = threading.active_count()
    one_thread = cr.data.images(folder, cache=False, workers=1, size=11)
    many = cr.data.images(folder, cache=False, workers=5, size=11)
    assert (one_thread.x == many.x).all()
    assert (one_thread.paths, one_thread.skipped) == (many.paths, many.skipped)
    assert "dark/7.png" not in many.paths
    assert threading.active_count() == before


def test_progress_is_told_to_the_end(tmp_path: Path) -> None:
    folder = two_classes(tmp_path / "many", count=40)
    (folder / "dark" / "7.png").write_bytes(b"damaged")
    told: list[tuple[int, int]] = []
    cr.data.images(folder, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (80, 80)
    assert len(told) >= 4
    assert told == sorted(told)


def test_an_interrupt_ends_the_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = two_classes(tmp_path / "many", count=200)
    calls: list[str] = []
    import chainrule.data.image_reading as reading

    real = reading.decode
    monkeypatch.setattr(
        reading, "decode", lambda path, **options: calls.append(path) or real(path, **options)
    )

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        cr.data.images(folder, progress=stop, workers=1)
    assert len(calls) < 200
    assert threading.active_count() == before


def test_the_second_reading_decodes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "dark" / "bad.png").write_bytes(b"damaged")
    (folder / "dark" / "note.txt").write_text("")
    calls: list[str] = []
    import chainrule.data.image_reading as reading

    real = reading.decode
    monkeypatch.setattr(
        reading, "decode", lambda path, **options: calls.append(path) or real(path, **options)
    )
    first = cr.data.images(folder)
    assert len(calls) == 6
    second = cr.data.images(folder)
    assert len(calls) == 6
    assert (first.x == second.x).all()
    assert first.y.tolist() == second.y.tolist()
    assert (first.paths, first.skipped) == (second.paths, second.skipped)
    assert first.preparation == second.preparation
    cr.data.images(folder, cache=False)
    assert len(calls) == 12
    cr.data.images(folder, size=6)
    assert len(calls) == 18
    os.utime(folder / "dark" / "0.png", ns=(1, 1))
    cr.data.images(folder)
    assert len(calls) == 24
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", "off")
    cr.data.images(folder)
    assert len(calls) == 30


def test_without_pillow_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'chainrule\[images\]'"):
        cr.data.images(folder)


# ---- preparations


def test_preparation_is_kept_and_checked() -> None:
    wanted = ImagePreparation(4, 5, 3, "pad", "float32", 9)
    assert ImagePreparation.from_config(wanted.to_config()) == wanted
    for key, value in (
        ("height", 0), ("width", 5000), ("width", True), ("channels", 2), ("aspect", "x"),
        ("dtype", "object"), ("background", 256), ("background", 1.0),
    ):  # fmt: skip
        with pytest.raises(FileFormatError, match=f"damaged {key}"):
            ImagePreparation.from_config({**wanted.to_config(), key: value})
    with pytest.raises(FileFormatError):
        ImagePreparation.from_config({**wanted.to_config(), "more": 1})


def test_read_pictures_takes_files_and_folders(folder: Path) -> None:
    wanted = ImagePreparation(12, 12, 1)
    data = read_pictures([folder / "light" / "2.png", folder / "dark"], wanted)
    assert len(data) == 4
    assert data.paths[0] == str(folder / "light" / "2.png")
    assert data.paths[1] == f"{folder / 'dark'}/0.png"
    assert (data.y == -1).all()
    with pytest.raises(FileAccessError, match="no such file or folder"):
        read_pictures([folder / "gone.png"], wanted)
