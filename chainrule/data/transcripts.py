"""What is said in sounds: letters as numbers."""

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from chainrule.data.checks import StoredConfig
from chainrule.errors import DataError

MAX_LETTERS = 1_000
BLANK, FILL = 0, -1
"""The number of "nothing is said here", which `ctc` needs, and what fills up
short rows; letters count from 1."""


def normalized(text: str) -> str:
    """The text as it is learnt: composed letters (NFC), small ones, single spaces.

    >>> normalized("  Zwei  DREI ")
    'zwei drei'
    """
    return " ".join(unicodedata.normalize("NFC", text.lower()).split())


class Alphabet:
    """The letters of transcripts, numbered from 1; 0 stands for a blank.

    Args:
        letters: each a single character, sorted, all different.

    Example:
        >>> alphabet = Alphabet.of(["two", "one two"])
        >>> alphabet.letters, alphabet.encode("two").tolist()
        (' enotw', [5, 6, 4])
        >>> alphabet.decode([5, 6, 4, -1, -1])
        'two'
    """

    def __init__(self, letters: str) -> None:
        self.letters = letters
        self._codes = {letter: code for code, letter in enumerate(letters, 1)}

    @classmethod
    def of(cls, texts: Iterable[str]) -> Self:
        """The letters that occur in texts, after `normalized`.

        Raises:
            DataError: there are no letters, or more than 1,000.
        """
        found = sorted({letter for text in texts for letter in normalized(text)})
        if not 1 <= len(found) <= MAX_LETTERS:
            raise DataError(
                "transcripts", "no alphabet can be made of the transcripts",
                got=f"{len(found):,} different letters", expected=f"1 to {MAX_LETTERS:,}",
            )  # fmt: skip
        return cls("".join(found))

    def __len__(self) -> int:
        """The number of letters and the blank: the width of a network's outputs."""
        return len(self.letters) + 1

    def encode(self, text: str) -> NDArray[np.int32]:
        """The numbers of the letters of a text, after `normalized`.

        Raises:
            DataError: a letter that the alphabet does not have.
        """
        try:
            codes = [self._codes[letter] for letter in normalized(text)]
        except KeyError as error:
            raise DataError(
                "transcripts", "a letter that the model does not know", got=repr(error.args[0]),
                expected=f"one of {self.letters[:60]!r}",
            ) from None  # fmt: skip
        return np.array(codes, np.int32)

    def encode_all(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """The numbers of N texts, filled up with -1: (N, L), L the most letters.

        Raises:
            DataError: a letter that the alphabet does not have.
        """
        rows = [self.encode(text) for text in texts]
        result = np.full((len(rows), max(map(len, rows), default=0)), FILL, np.int32)
        for row, codes in zip(result, rows, strict=True):
            row[: len(codes)] = codes
        return result

    def decode(self, codes: Iterable[int]) -> str:
        """The letters of the numbers; blanks and what fills up rows (-1) are left out."""
        return "".join(self.letters[code - 1] for code in codes if code > BLANK)

    def to_config(self) -> dict[str, Any]:
        """Return JSON-able values."""
        return {"letters": self.letters}

    @classmethod
    def from_config(cls, config: object, where: str = "alphabet") -> Self:
        """Rebuild from `to_config`, every value checked.

        Raises:
            FileFormatError: a value that is no alphabet.
        """
        stored = StoredConfig(config, where, ("letters",))
        letters = stored.raw("letters")
        good = isinstance(letters, str) and 1 <= len(letters) <= MAX_LETTERS
        if not good or letters != "".join(sorted(set(letters))):
            raise stored.wrong("letters", letters, f"1 to {MAX_LETTERS} sorted letters")
        return cls(letters)
