"""Letters as numbers, and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.data.transcripts import BLANK, Alphabet, normalized
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
    rows = alphabet.encode_all(texts)
    assert rows.shape == (len(texts), max(len(normalized(text)) for text in texts))
    assert [alphabet.decode(row) for row in rows] == [normalized(text) for text in texts]


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
