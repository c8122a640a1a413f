"""TextGenerator: what it learns, what it writes, its file."""

from pathlib import Path

import numpy as np
import pytest

from chainrule.data.byte_pairs import BytePairTokenizer
from chainrule.data.text_stream import TextStream
from chainrule.errors import ArgumentError, DataError, FileFormatError
from chainrule.estimators import NotFittedError, TextGenerator, load
from chainrule.formats import read_model_file, write_model_file

SMALL = {"units": 32, "embedding": 16, "length": 16, "batch_size": 8, "random_state": 0}
TEXT = "the cat sat on the mat.\n" * 60


@pytest.fixture(scope="module")
def trained() -> TextGenerator:
    return TextGenerator(epochs=60, **SMALL).fit(TEXT)


def test_it_learns_a_text_by_heart(trained: TextGenerator) -> None:
    assert trained.generate("the cat", length=17, temperature=0) == " sat on the mat.\n"
    assert trained.bits_per_character(TEXT) < 0.2
    assert trained.bits_per_character("zzz qqq!") > 4


def test_bits_are_those_of_the_whole_text_at_once(trained: TextGenerator) -> None:
    """State goes on from piece to piece: the sum is that of one pass over everything."""
    text = TEXT[:700]
    ids = trained.stream_.ids(text)
    logits = trained.model_.predict(ids[None, :-1])[0].astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = -log_p[np.arange(len(ids) - 1), ids[1:]].sum() / np.log(2) / (len(text) - 1)
    assert trained.bits_per_character(text) == pytest.approx(expected, rel=1e-4)


def test_the_same_seed_writes_the_same(trained: TextGenerator, tmp_path: Path) -> None:
    one = trained.generate("the", length=80, temperature=1.5, seed=3)
    assert one == trained.generate("the", length=80, temperature=1.5, seed=3)
    assert one != trained.generate("the", length=80, temperature=1.5, seed=4)
    trained.save(tmp_path / "m")
    loaded = load(tmp_path / "m")
    assert isinstance(loaded, TextGenerator)
    assert loaded.generate("the", length=80, temperature=1.5, seed=3) == one
    assert len(one) == 80
    assert len(trained.generate("☃", length=5)) == 5  # a prompt that is not known


def test_a_seed_repeats_the_fit() -> None:
    files = [TextGenerator(epochs=1, **{**SMALL, "random_state": s}).fit(TEXT) for s in (1, 1, 2)]
    weights = [np.concatenate([w.ravel() for w in g.model_.get_weights()]) for g in files]
    assert (weights[0] == weights[1]).all()
    assert not (weights[0] == weights[2]).all()


def test_byte_pairs() -> None:
    pytest.importorskip("tokenizers")
    made = TextGenerator(BytePairTokenizer(270), epochs=40, **SMALL).fit(TEXT * 2)
    assert made.generate("the", length=4, temperature=0).startswith(" cat")
    assert made.bits_per_character(TEXT) < 1


def test_streams_round_trip() -> None:
    stream = TextStream().fit("naïve 世界\n")
    assert stream.text(stream.ids("世界 naïve")) == "世界 naïve"
    again = TextStream.from_config(stream.to_config())
    assert again.ids("世x").tolist() == stream.ids("世x").tolist()
    assert stream.ids("x").tolist() == [1]
    with pytest.raises(ArgumentError, match="do not join to the text: got words"):
        TextStream("words")
    with pytest.raises(DataError, match="the text is empty"):
        TextStream().fit("")


def test_what_cannot_be(trained: TextGenerator) -> None:
    with pytest.raises(ArgumentError, match="wrong units: got 0"):
        TextGenerator(units=0)
    with pytest.raises(ArgumentError, match="wrong epochs"):
        TextGenerator(epochs=0)
    with pytest.raises(ArgumentError, match="do not join"):
        TextGenerator("words")
    with pytest.raises(NotFittedError):
        TextGenerator().generate()
    with pytest.raises(DataError, match="the text is too short: got 3 tokens, expected more than"):
        TextGenerator().fit("abc")
    with pytest.raises(DataError, match="too short"):
        trained.bits_per_character("t")
    with pytest.raises(ArgumentError, match="wrong temperature"):
        trained.generate(temperature=-1)
    with pytest.raises(ArgumentError, match="wrong length"):
        trained.generate(length=0)


def test_damaged_files_are_refused(trained: TextGenerator, tmp_path: Path) -> None:
    path = tmp_path / "m"
    trained.save(path)
    metadata, arrays = read_model_file(path)
    good = metadata["writer"]
    stream = good["stream"]
    for damaged in (
        None,
        {},
        {**good, "version": 2},
        {**good, "epochs": -1},
        {**good, "stream": None},
        {**good, "stream": {**stream, "vocabulary": ["a"]}},
        {**good, "stream": {**stream, "tokenizer": {"kind": "words"}}},
        {**good, "more": 1},
    ):
        write_model_file(path, {**metadata, "writer": damaged}, arrays)
        with pytest.raises(FileFormatError):
            load(path)
    other = TextGenerator(epochs=1, **{**SMALL, "units": 8}).fit(TEXT)
    other.save(tmp_path / "o")
    architecture = read_model_file(tmp_path / "o")[0]["architecture"]
    write_model_file(path, {**metadata, "architecture": architecture}, arrays)
    with pytest.raises(FileFormatError):
        load(path)
