"""Folders and tables of sounds: what is read, how it is prepared, what is left out and why."""

import os
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from sound_files import RATE, encoded, tone, two_classes, write

import chainrule as cr
from chainrule.data import AudioPreparation, audio_decoding, audio_reading, read_sounds
from chainrule.errors import (
    ArgumentError,
    DataError,
    FileAccessError,
    FileFormatError,
    MissingDependencyError,
    ShapeError,
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return two_classes(tmp_path / "sounds")


def one(data: bytes, name: str, folder: Path, **options) -> np.ndarray:
    """The samples of one file, 8,000 a second, nothing trimmed."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    return read_sounds([folder / name], AudioPreparation(RATE, 0), **options)[0]


# ---- what is read


def test_a_folder_of_classes(folder: Path) -> None:
    data = cr.data.audio(folder)
    assert repr(data) == "AudioData(6 sounds, 1.8 s at 8,000 Hz, 2 classes, 0 files skipped)"
    assert (data.classes, data.y.tolist(), data.counts) == (
        ["high", "low"], [0, 0, 0, 1, 1, 1], [3, 3],
    )  # fmt: skip
    assert data.paths == [f"{kind}/{i}.wav" for kind in ("high", "low") for i in range(3)]
    assert data.rates == {RATE: 6}
    assert data.samples.dtype == np.float32
    np.testing.assert_allclose(data[3], tone(300), atol=1e-4)
    np.testing.assert_array_equal(data[-1], data[5])
    with pytest.raises(IndexError):
        data[6]
    some = data.take(np.array([4, 0]))
    assert (some.paths, some.y.tolist()) == (["low/1.wav", "high/0.wav"], [1, 0])
    np.testing.assert_array_equal(some[0], data[4])
    np.testing.assert_array_equal(some[1], data[0])


@pytest.mark.parametrize(
    ("kind", "subtype", "name", "tolerance"),
    [
        ("WAV", "PCM_16", "a.wav", 1e-4),
        ("WAV", "PCM_U8", "a.wav", 1e-2),
        ("WAV", "FLOAT", "a.wav", 1e-6),
        ("RF64", "PCM_24", "a.wav", 1e-6),
        ("FLAC", "PCM_16", "a.flac", 1e-4),
        ("OGG", "VORBIS", "a.ogg", 0.1),
        ("OGG", "OPUS", "a.opus", 0.1),
        ("FLAC", "PCM_16", "called.wav", 1e-4),
    ],
)
def test_formats(tmp_path: Path, kind: str, subtype: str, name: str, tolerance: float) -> None:
    expected = tone(440)
    found = one(encoded(expected, kind, subtype=subtype), name, tmp_path)
    assert found.shape == expected.shape
    # Lossy formats smear the beginning.
    np.testing.assert_allclose(found[200:-200], expected[200:-200], atol=tolerance)


def test_channels_are_mixed_by_their_mean(tmp_path: Path) -> None:
    left, right = tone(440), tone(700)
    found = one(encoded(np.stack([left, right, 0 * left], axis=1), "WAV"), "a.wav", tmp_path)
    np.testing.assert_allclose(found, (left + right) / 3, atol=1e-4)


def test_long_files_are_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio_decoding, "_BLOCK", 100)
    for channels in (1, 3, 30):
        samples = np.random.default_rng(0).uniform(-1, 1, (1234, channels))
        found = one(encoded(samples, "WAV", subtype="FLOAT"), "a.wav", tmp_path)
        np.testing.assert_allclose(found, samples.mean(axis=1), atol=1e-6)


def test_mixed_rates_are_resampled_and_told(folder: Path) -> None:
    write(folder / "low" / "fast.wav", tone(300, rate=44_100), 44_100)
    data = cr.data.audio(folder)
    assert data.preparation.sample_rate == 16_000
    assert data.rates == {8_000: 6, 44_100: 1}
    middle = slice(400, -400)
    for row, pitch in ((3, 300), (6, 300)):
        expected = tone(pitch, rate=16_000)
        assert len(data[row]) == len(expected)
        np.testing.assert_allclose(data[row][middle], expected[middle], atol=1e-3)
    low = cr.data.audio(folder, sample_rate=4_000)
    assert low.preparation.sample_rate == 4_000
    # A tone above half the new rate is gone rather than folded back.
    assert np.abs(read_sounds([folder / "high"], AudioPreparation(2_000, 0)).samples).max() < 0.3
    assert np.abs(low[0]).max() > 0.4


def test_silence_at_the_ends_is_trimmed(tmp_path: Path) -> None:
    quiet = np.random.default_rng(0).normal(0, 1e-4, 4_000)
    (tmp_path / "a.wav").write_bytes(
        encoded(np.concatenate([quiet, tone(440, 0.2), 0 * quiet, tone(440, 0.2), quiet]), "WAV")
    )
    found = [
        len(read_sounds([tmp_path / "a.wav"], AudioPreparation(RATE, trim))[0])
        for trim in (0, 40, 120)
    ]
    assert found[0] == found[2] == 3 * 4_000 + 2 * 1_600
    # The pause in the middle stays, and 20 ms at each end.
    assert 4_000 + 2 * 1_600 <= found[1] <= 4_000 + 2 * 1_600 + 4 * 160


def test_padded(folder: Path) -> None:
    write(folder / "low" / "9.wav", tone(300, 0.1))
    data = cr.data.audio(folder)
    rows = data.padded(2_000)
    assert (rows.shape, rows.dtype) == ((7, 2_000), np.float32)
    np.testing.assert_array_equal(rows[0], data[0][200:2_200])
    np.testing.assert_array_equal(rows[6][600:1_400], data[6])
    assert not rows[6][:600].any()
    assert not rows[6][1_400:].any()
    with pytest.raises(ShapeError, match="too much memory"):
        data.padded(1 << 40)


# ---- what is left out


def test_what_gives_no_sound_is_skipped_with_a_reason(folder: Path) -> None:
    good = {kind: encoded(tone(440), kind) for kind in ("WAV", "FLAC", "OGG", "MP3", "AIFF")}
    place = folder / "low"
    (place / "empty.wav").write_bytes(b"")
    (place / "text.wav").write_text("not a sound at all")
    (place / "song.wav").write_bytes(good["MP3"])
    (place / "apple.wav").write_bytes(good["AIFF"])
    (place / "song.mp3").write_bytes(good["MP3"])
    for kind, data in list(good.items())[:3]:
        (place / f"cut.{kind.lower()}").write_bytes(data[: len(data) * 2 // 3])
    (place / "silent.wav").write_bytes(encoded(np.zeros(800), "WAV"))
    (place / "nan.wav").write_bytes(encoded(np.full(800, np.nan), "WAV", subtype="FLOAT"))
    (place / "huge.wav").write_bytes(encoded(np.full(800, 1e30), "WAV", subtype="DOUBLE"))
    (place / "none.wav").write_bytes(encoded(np.zeros(0), "WAV"))
    (place / "slow.wav").write_bytes(encoded(tone(440), "WAV", rate=900))
    (folder / "loose.wav").write_bytes(good["WAV"])
    (folder / "empty").mkdir()
    data = cr.data.audio(folder)
    assert len(data) == 6
    reasons = dict(data.skipped)
    for name, words in {
        "low/empty.wav": "the file is empty",
        "low/text.wav": "this is no WAV, FLAC or OGG sound",
        "low/song.wav": "this is no WAV, FLAC or OGG sound",
        "low/apple.wav": "this is no WAV, FLAC or OGG sound",
        "low/song.mp3": "its name does not end in .wav",
        "low/cut.wav": "the sound is cut off: 3,",
        "low/cut.flac": "the sound is ",
        "low/cut.ogg": "the sound is cut off: its last page is missing",
        "low/silent.wav": "silent throughout",
        "low/nan.wav": "numbers above 1,000",
        "low/huge.wav": "numbers above 1,000",
        "low/none.wav": "there is no sound in it",
        "low/slow.wav": "900 samples a second",
        "loose.wav": "in no sub-folder",
        "empty": "no sounds are in this folder",
    }.items():
        assert words in reasons.pop(name), name
    assert not reasons


def flac_claiming(samples: int) -> bytes:
    """A FLAC file whose header declares so many samples."""
    data = bytearray(encoded(tone(440), "FLAC"))
    # STREAMINFO: 4 bytes of mark, 4 of block header, then 13 bytes up to the 36 bits of the count.
    (word,) = struct.unpack_from(">Q", data, 18)
    struct.pack_into(">Q", data, 18, (word >> 36 << 36) | samples)
    return bytes(data)


def test_limits_are_kept_before_anything_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(sound: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(audio_decoding, "_mono", never)
    wide = encoded(np.zeros((10, 40)), "WAV")
    cases = [
        ("a.flac", flac_claiming((1 << 36) - 1), {}, "8,589,935 seconds, over 60"),
        ("b.wav", encoded(tone(440, 2.0), "WAV"), {"max_seconds": 1}, "2 seconds, over 1"),
        ("c.wav", wide, {}, "40 channels, over 32"),
        ("d.wav", wide, {"max_channels": 50, "max_bytes": 100}, "844 bytes, over 100"),
    ]
    for name, data, options, words in cases:
        with pytest.raises(DataError, match=words):
            one(data, name, tmp_path, **options)


def test_a_flac_that_promises_more_than_it_holds_is_cut_off(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cut off after [\d,]+ of 9,000 samples|is damaged"):
        one(flac_claiming(9_000), "a.flac", tmp_path)


def test_a_wav_of_unknown_length_is_read(tmp_path: Path) -> None:
    data = bytearray(encoded(tone(440), "WAV"))
    place = data.index(b"data") + 4
    data[place : place + 4] = b"\xff" * 4
    assert len(one(bytes(data), "a.wav", tmp_path)) == 2_400


@pytest.mark.skipif(os.name != "posix", reason="makes links")
def test_links_out_of_the_folder_are_not_followed(folder: Path, tmp_path: Path) -> None:
    outside = write(tmp_path / "outside" / "secret.wav", tone(440))
    (folder / "low" / "file.wav").symlink_to(outside)
    (folder / "low" / "same.wav").symlink_to("0.wav")
    (folder / "third").symlink_to(outside.parent)
    os.mkfifo(folder / "low" / "pipe.wav")
    data = cr.data.audio(folder)
    assert len(data) == 7
    assert dict(data.skipped) == {
        "low/file.wav": "a link that leads out of the folder",
        "third": "a link that leads out of the folder",
        "low/pipe.wav": "this is not an ordinary file",
    }


def test_what_is_fatal(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="no such file"):
        cr.data.audio(tmp_path / "nowhere")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match="there are no sounds"):
        cr.data.audio(tmp_path / "nothing")
    (tmp_path / "one" / "a").mkdir(parents=True)
    write(tmp_path / "one" / "a" / "0.wav", tone(440))
    with pytest.raises(DataError, match="the sounds are all of one class: got 1 of class 'a'"):
        cr.data.audio(tmp_path / "one")
    assert len(cr.data.audio(tmp_path / "one", allow_one_class=True)) == 1
    for path in folder.rglob("*.wav"):
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match=r"none of the 6 sounds can be read: got high/0.wav"):
        cr.data.audio(folder)


def test_memory_is_bounded_in_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio_reading, "MAX_ARRAY_BYTES", 100_000)
    with pytest.raises(DataError, match="too much memory"):
        cr.data.audio(folder)


@pytest.mark.parametrize(
    "options",
    [
        {"sample_rate": 10}, {"sample_rate": 8e3}, {"trim": -1}, {"trim": True}, {"workers": 0},
        {"max_seconds": 0}, {"max_bytes": 0}, {"max_channels": 0},
    ],
)  # fmt: skip
def test_wrong_options(folder: Path, options: dict) -> None:
    with pytest.raises(ArgumentError, match=f"wrong {next(iter(options))}"):
        cr.data.audio(folder, **options)


# ---- tables


def test_a_table_of_paths_and_labels(folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "secret.wav", tone(440))
    table = folder / "labels.csv"
    lines = ["audio,label", "low/0.wav,7", "high/0.wav,3", "low/0.wav,7", "../secret.wav,7"]
    table.write_text("\n".join([*lines, "gone.wav,3", ",3"]))
    data = cr.data.audio(table)
    assert data.paths == ["low/0.wav", "high/0.wav", "low/0.wav"]
    assert (data.classes, data.y.tolist()) == (["3", "7"], [1, 0, 1])
    assert [reason for _, reason in data.skipped] == [
        "leads out of the folder", "there is no such file", "the path or the label is missing",
    ]  # fmt: skip


def test_a_table_of_paths_and_transcripts(folder: Path) -> None:
    table = folder / "said.csv"
    table.write_text("file,speaker,text\nlow/0.wav,a,three two\nhigh/0.wav,b,one\n")
    data = cr.data.audio(table, transcripts=True)
    assert data.transcripts == ["three two", "one"]
    assert (data.classes, data.y.tolist()) == ([], [-1, -1])
    assert data.take(np.array([1])).transcripts == ["one"]
    again = cr.data.audio(table, transcripts=True, path_column="file", label_column="speaker")
    assert again.transcripts == ["a", "b"]


# ---- the cache, files and packages


def test_the_cache_gives_the_same_sounds(folder: Path, own_cache: Path, monkeypatch) -> None:
    (folder / "low" / "bad.wav").write_text("no sound")
    first = cr.data.audio(folder)
    calls = []

    def counted(*arguments, **options):
        calls.append(1)
        return audio_decoding.decode(*arguments, **options)

    monkeypatch.setattr(audio_reading, "decode", counted)
    second = cr.data.audio(folder)
    assert not calls
    for name in ("y", "samples", "starts"):
        np.testing.assert_array_equal(getattr(second, name), getattr(first, name))
    for name in ("classes", "paths", "skipped", "preparation", "rates"):
        assert getattr(second, name) == getattr(first, name)
    for path in (own_cache / "sounds").iterdir():
        path.write_bytes(path.read_bytes().replace(b'"lengths": [', b'"lengths": [1, ', 1))
    third = cr.data.audio(folder)
    assert len(calls) == 7 - 1
    np.testing.assert_array_equal(third.samples, first.samples)
    write(folder / "low" / "0.wav", tone(200, 0.2))
    assert cr.data.audio(folder).samples.shape != first.samples.shape
    before = len(calls)
    cr.data.audio(folder, cache=False)
    assert len(calls) == before + 6


def test_preparations_are_checked_when_read() -> None:
    preparation = AudioPreparation(8_000, 30)
    assert AudioPreparation.from_config(preparation.to_config()) == preparation
    for wrong in ({"sample_rate": 8e3, "trim": 40}, {"sample_rate": 8_000, "trim": 1_000}, {}, 3):
        with pytest.raises(FileFormatError):
            AudioPreparation.from_config(wrong)


@pytest.mark.parametrize("package", ["soundfile", "soxr"])
def test_missing_packages_are_told(folder: Path, monkeypatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=rf"{package} is not.*chainrule\[audio\]"):
        cr.data.audio(folder)


def test_the_number_of_threads_changes_nothing(folder: Path) -> None:
    found = [cr.data.audio(folder, workers=n, cache=False).samples for n in (1, 3)]
    np.testing.assert_array_equal(*found)


def test_progress_is_told(folder: Path) -> None:
    told = []
    cr.data.audio(folder, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (6, 6)
