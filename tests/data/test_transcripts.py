"""Letters as numbers, error rates, and sounds of similar length together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.data.transcripts import (
    BLANK,
    Alphabet,
    buckets,
    edit_distance,
    error_rate,
    normalized,
)
from chainrule.errors import DataError, FileFormatError

TEXTS = st.text("abÄ é\t", max_size=12)


@given(st.lists(TEXTS, min_size=1))
def test_texts_come_back(texts: list[str]) -> None:
    if not any(map(normalized, texts)):
        with pytest.raises(DataError, match="no alphabet"):
            Alphabet.of(texts)
        return
    alphabet = Alphabet.of(texts)
    assert len(alphabet) == len(alphabet.letters) + 1
    for text in texts:
        codes = alphabet.encode(text)
        assert codes.dtype == np.int32
        assert (codes != BLANK).all()
        assert alphabet.decode(codes.tolist()) == normalized(text) == normalized(normalized(text))
        # A path with every letter twice and a blank after it says the same.
        path = np.stack([codes, codes, np.full_like(codes, BLANK)], axis=1).ravel()
        assert alphabet.collapsed(path) == normalized(text)


def test_composed_and_decomposed_letters_are_the_same() -> None:
    assert normalized("e\u0301") == normalized("É") == "é"


def test_letters_that_are_not_known_are_told() -> None:
    with pytest.raises(DataError, match="does not know: got 'x', expected one of 'abc'"):
        Alphabet("abc").encode("abx")
    with pytest.raises(DataError, match="got 1,100 different letters"):
        Alphabet.of(["".join(map(chr, range(0x4E00, 0x4E00 + 1_100)))])


@pytest.mark.parametrize(
    "config", [None, {}, {"letters": ""}, {"letters": "ba"}, {"letters": "aa"}, {"letters": ["a"]}]
)
def test_damaged_alphabets_are_refused(config: object) -> None:
    with pytest.raises(FileFormatError):
        Alphabet.from_config(config)


def test_alphabets_are_kept() -> None:
    alphabet = Alphabet.of(["zwei drei"])
    assert Alphabet.from_config(alphabet.to_config()).letters == alphabet.letters


def recursive(one: str, other: str) -> int:
    """The distance by its definition."""
    if not one or not other:
        return len(one) + len(other)
    replaced = recursive(one[1:], other[1:]) + (one[0] != other[0])
    return min(replaced, recursive(one[1:], other) + 1, recursive(one, other[1:]) + 1)


@given(st.text("ab", max_size=5), st.text("abc", max_size=5))
def test_the_edit_distance_is_that_of_its_definition(one: str, other: str) -> None:
    assert edit_distance(one, other) == recursive(one, other) == edit_distance(other, one)


def test_error_rates_count_all_texts_together() -> None:
    truth, found = ["one two", "six"], ["one", "sixes"]
    assert error_rate(truth, found) == pytest.approx((4 + 2) / 10)
    words = error_rate([text.split() for text in truth], [text.split() for text in found])
    assert words == pytest.approx(2 / 3)
    assert error_rate(truth, truth) == 0


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(1, 6))
def test_buckets_hold_each_sound_once(lengths: list[int], most: int) -> None:
    found = buckets(np.array(lengths), most)
    assert len(found) <= most
    rows = np.concatenate([rows for _, rows in found])
    assert sorted(rows.tolist()) == list(range(len(lengths)))
    for size, rows in found:
        assert np.array(lengths)[rows].max() == size
    sizes = [size for size, _ in found]
    assert sizes == sorted(sizes)
