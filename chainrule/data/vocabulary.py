"""Tokens as numbers."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Self

from chainrule.data.checks import StoredConfig
from chainrule.errors import ArgumentError, DataError

PADDING, UNKNOWN = 0, 1
FIRST = 2
"""The number of the first token; 0 fills short rows, 1 stands for tokens that are not known."""

MAX_TOKENS = 1_000_000


class Vocabulary:
    """The tokens that have a number.

    Args:
        tokens: different texts; the first has the number 2.

    Raises:
        DataError: one token twice.

    Example:
        >>> words = Vocabulary(["good", "bad"])
        >>> len(words), words.ids(["bad", "ugly"]), words.tokens([2, 1, 0])
        (4, [3, 1], ['good', None, None])
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        self.known = list(tokens)
        self.number = {token: number for number, token in enumerate(self.known, FIRST)}
        if len(self.number) < len(self.known):
            raise DataError("Vocabulary", "a token comes twice", expected="different tokens")

    @classmethod
    def of_counts(
        cls, counts: Mapping[str, int], *, max_size: int | None = None, min_count: int = 1
    ) -> Self:
        """The most frequent tokens, most frequent first; of equals, in the order of the letters.

        Args:
            counts: how often each token occurs.
            max_size: at most so many; default all.
            min_count: only tokens that occur so often; default 1.

        Raises:
            ArgumentError: a limit out of range.

        Example:
            >>> Vocabulary.of_counts({"a": 3, "c": 1, "b": 3}, min_count=2).known
            ['a', 'b']
        """
        for name, value in (("max_size", max_size), ("min_count", min_count)):
            if value is not None and (type(value) is not int or not 1 <= value <= MAX_TOKENS):
                raise ArgumentError(
                    "Vocabulary", f"wrong {name}", got=repr(value),
                    expected=f"a whole number from 1 to {MAX_TOKENS:,}",
                )  # fmt: skip
        frequent = [(-count, token) for token, count in counts.items() if count >= min_count]
        most = MAX_TOKENS if max_size is None else max_size
        return cls([token for _, token in sorted(frequent)[:most]])

    def __len__(self) -> int:
        """How many numbers there are, those of padding and of unknown tokens counted."""
        return len(self.known) + FIRST

    def ids(self, tokens: Iterable[str]) -> list[int]:
        """The number of each token; 1 where it is not known."""
        number = self.number
        return [number.get(token, UNKNOWN) for token in tokens]

    def known_ids(self, tokens: Iterable[str]) -> list[int]:
        """The numbers of the tokens that are known."""
        number = self.number
        return [number[token] for token in tokens if token in number]

    def tokens(self, ids: Iterable[int]) -> list[str | None]:
        """The token of each number; None for padding and the unknown.

        Raises:
            ArgumentError: a number that is not given to any token.
        """
        found: list[str | None] = []
        for number in ids:
            if not 0 <= number < len(self):
                raise ArgumentError(
                    "Vocabulary", "no such number", got=number, expected=f"0 to {len(self) - 1}"
                )
            found.append(self.known[number - FIRST] if number >= FIRST else None)
        return found

    def to_config(self) -> list[str]:
        """The tokens as JSON values."""
        return list(self.known)

    @classmethod
    def from_config(cls, stored: StoredConfig, key: str) -> Self:
        """The vocabulary that `to_config` described.

        Raises:
            FileFormatError: it is damaged.
        """
        return cls(stored.texts(key, MAX_TOKENS))
