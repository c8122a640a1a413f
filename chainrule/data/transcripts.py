"""What is said in sounds: letters as numbers, and batches of sounds of similar length."""

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from chainrule.data.checks import StoredConfig
from chainrule.errors import DataError

MAX_LETTERS = 1_000
BLANK = 0
"""The number of "nothing is said here", which `ctc` needs; letters count from 1."""


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
        >>> alphabet.decode([5, 0, 6, 6, 4])
        'twwo'
        >>> alphabet.collapsed([5, 5, 0, 6, 6, 4])
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

    def decode(self, codes: Iterable[int]) -> str:
        """The letters of the numbers; blanks are left out."""
        return "".join(self.letters[code - 1] for code in codes if code != BLANK)

    def collapsed(self, codes: Sequence[int] | NDArray[Any]) -> str:
        """What a path of `ctc` says: of equal numbers side by side one, without the blanks."""
        path = np.asarray(codes)
        first = np.append(True, path[1:] != path[:-1])[: len(path)]
        return self.decode(path[first].tolist())

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


def edit_distance(one: Sequence[Any], other: Sequence[Any]) -> int:
    """The fewest insertions, deletions and replacements that turn one into the other.

    >>> edit_distance("kitten", "sitting")
    3

    Reference: Wagner and Fischer, "The string-to-string correction problem", 1974.
    """
    row = list(range(len(other) + 1))
    for i, item in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, against in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (item != against))
    return row[-1]


def error_rate(truth: Sequence[Sequence[Any]], found: Sequence[Sequence[Any]]) -> float:
    """Edits over the true length, all texts together: of strings the letter error rate, of lists of
    words the word error rate.

    >>> error_rate(["one two", "six"], ["one too", "six"])
    0.1
    """
    edits = sum(edit_distance(one, other) for one, other in zip(truth, found, strict=True))
    return edits / max(1, sum(map(len, truth)))


def buckets(lengths: NDArray[np.int64], most: int = 4) -> list[tuple[int, NDArray[np.int64]]]:
    """Sounds of similar length together, so that little of a batch is silence.

    Args:
        lengths: of the sounds, (N,).
        most: groups at most; every length makes a program of its own.

    Returns:
        For each group the length that it is brought to, and its rows.

    Example:
        >>> [(size, rows.tolist()) for size, rows in buckets(np.array([9, 2, 8, 3]), 2)]
        [(3, [1, 3]), (9, [0, 2])]
    """
    ordered = np.argsort(lengths, kind="stable")
    parts = [part for part in np.array_split(ordered, most) if len(part)]
    return [(int(lengths[part].max()), np.sort(part)) for part in parts]
