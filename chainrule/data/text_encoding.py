"""Texts as rows of numbers: tokens by a tokenizer, their numbers by a vocabulary, padded with 0."""

import copy
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from chainrule.data.byte_pairs import BytePairTokenizer
from chainrule.data.checks import StoredConfig
from chainrule.data.tokenizers import (
    CharacterTokenizer,
    GramTokenizer,
    Tokenizer,
    WordTokenizer,
)
from chainrule.data.vocabulary import PADDING, Vocabulary
from chainrule.errors import ArgumentError, DataError, StateError, unknown_name

Ids = NDArray[np.int32]

TOKENIZERS: dict[str, type[Tokenizer]] = {
    found.kind: found
    for found in (BytePairTokenizer, CharacterTokenizer, GramTokenizer, WordTokenizer)
}

MAX_LENGTH = 1_000_000
MAX_CHARACTERS = 100_000
"""Of one text; what comes after them is cut off before tokens are made."""

MAX_ARRAY_BYTES = 4 << 30
MAX_VOCABULARY_BYTES = 2 << 20
"""Of all tokens together in UTF-8; a model file holds them in its header."""

SHORTEST_BUCKET = 16

_WHERE = "TextEncoder"


class EncodedTexts(NamedTuple):
    """Texts as numbers.

    Args:
        ids: (N, length) int32; 0 after the end of a text, 1 for tokens that are not known.
        lengths: (N,) tokens of each row.
        truncated: how many of the texts are longer than the rows.
    """

    ids: Ids
    lengths: NDArray[np.int64]
    truncated: int


class TextEncoder:
    """Turns texts into rows of numbers, by a vocabulary that it learns.

    Args:
        tokenizer: a Tokenizer, or the name of a kind: "words" (default), "characters", "grams",
            "byte pairs".
        max_vocabulary: at most so many different tokens, the most frequent; default 20,000.
        min_count: only tokens that so many texts have; default 1.
        max_length: longer rows are cut; default 1,000.
        once: True keeps one of equal tokens of a text, for networks that do not look at the order;
            default False.
        keep_unknown: False leaves unknown tokens out instead of giving them the number 1; default
            True.

    Attributes:
        vocabulary: the tokens that have a number.
        length: of the rows: the longest text's of those learnt from, at most ``max_length``.

    Raises:
        ArgumentError, UnknownNameError: a setting out of range.

    Example:
        >>> encoder = TextEncoder().fit(["a good film", "a bad film"])
        >>> encoder.transform(["a good good one", ""]).tolist()
        [[2, 5, 5], [0, 0, 0]]
        >>> encoder.encode(["a good good one"]).truncated
        1

    An empty text is all padding.
    """

    vocabulary: Vocabulary
    length: int

    def __init__(
        self,
        tokenizer: str | Tokenizer = "words",
        *,
        max_vocabulary: int = 20_000,
        min_count: int = 1,
        max_length: int = 1_000,
        once: bool = False,
        keep_unknown: bool = True,
    ) -> None:
        self.tokenizer = tokenizer_of(tokenizer)
        Vocabulary.of_counts({}, max_size=max_vocabulary, min_count=min_count)  # checks the limits
        if type(max_length) is not int or not 1 <= max_length <= MAX_LENGTH:
            raise ArgumentError(
                _WHERE, "wrong max_length", got=repr(max_length),
                expected=f"a whole number from 1 to {MAX_LENGTH:,}",
            )  # fmt: skip
        self.max_vocabulary = max_vocabulary
        self.min_count = min_count
        self.max_length = max_length
        self.once = bool(once)
        self.keep_unknown = bool(keep_unknown)

    # ---- learning

    def fit(self, texts: Sequence[str]) -> Self:
        """Learn tokens, vocabulary and length from texts.

        Raises:
            DataError: no texts, nothing in them, or tokens too long for a model file.
        """
        self.fit_encode(texts)
        return self

    def fit_encode(self, texts: Sequence[str]) -> EncodedTexts:
        """`fit`, and what `encode` makes of the same texts; each is cut into tokens once."""
        checked_texts(texts)
        self.tokenizer.fit(text[:MAX_CHARACTERS] for text in texts)
        rows = [self._tokens(text) for text in texts]
        self.vocabulary = self._learn(rows)
        found = [self._ids(row) for row in rows]
        self.length = max(1, min(self.max_length, max(map(len, found))))
        cut = sum(len(text) > MAX_CHARACTERS for text in texts)
        return self._padded(found, self.length, cut)

    def _learn(self, rows: list[list[str]]) -> Vocabulary:
        if isinstance(self.tokenizer, BytePairTokenizer):
            return Vocabulary(self.tokenizer.vocabulary)
        counts: Counter[str] = Counter()
        for row in rows:
            counts.update(row if self.once else set(row))
        found = Vocabulary.of_counts(counts, max_size=self.max_vocabulary, min_count=self.min_count)
        if not found.known and counts:  # no token is frequent: better all than none
            found = Vocabulary.of_counts(counts, max_size=self.max_vocabulary)
        if not found.known:
            raise DataError(
                _WHERE, "there is no token in the texts",
                got=f"{len(rows):,} texts without letters or marks", expected="some text",
            )  # fmt: skip
        size = sum(len(token.encode()) for token in found.known)
        if size > MAX_VOCABULARY_BYTES:
            raise DataError(
                _WHERE, "the vocabulary is too large for a model file",
                got=f"{len(found.known):,} tokens of {size:,} bytes",
                expected=f"at most {MAX_VOCABULARY_BYTES:,} bytes", fix="lower max_vocabulary",
            )  # fmt: skip
        return found

    # ---- using

    def encode(self, texts: Sequence[str]) -> EncodedTexts:
        """The numbers of the tokens of each text, in rows of equal length.

        Raises:
            StateError: nothing is learnt yet.
            DataError: not a list of texts, or more than memory should be taken for.
        """
        if not hasattr(self, "vocabulary"):
            raise StateError(_WHERE, "it has learnt nothing yet", fix="call fit(texts) first")
        checked_texts(texts)
        rows = [self._ids(self._tokens(text)) for text in texts]
        cut = sum(len(text) > MAX_CHARACTERS for text in texts)
        return self._padded(rows, self.length, cut)

    def transform(self, texts: Sequence[str]) -> Ids:
        """The ``ids`` of `encode`."""
        return self.encode(texts).ids

    def _tokens(self, text: str) -> list[str]:
        tokens = self.tokenizer.tokens(text[:MAX_CHARACTERS])
        return list(dict.fromkeys(tokens)) if self.once else tokens

    def _ids(self, tokens: list[str]) -> list[int]:
        if self.keep_unknown:
            return self.vocabulary.ids(tokens)
        return self.vocabulary.known_ids(tokens)

    def _padded(self, rows: list[list[int]], length: int, cut: int) -> EncodedTexts:
        size = 4 * len(rows) * length
        if size > MAX_ARRAY_BYTES:
            raise DataError(
                _WHERE, "the texts would take too much memory",
                got=f"{len(rows):,} rows of {length:,} numbers",
                expected=f"at most {MAX_ARRAY_BYTES >> 30} GiB in all", fix="lower max_length",
            )  # fmt: skip
        ids = np.full((len(rows), length), PADDING, np.int32)
        lengths = np.minimum([len(row) for row in rows], length).astype(np.int64)
        for row, numbers in enumerate(rows):
            ids[row, : lengths[row]] = numbers[:length]
        truncated = max(cut, sum(len(row) > length for row in rows))
        return EncodedTexts(ids, lengths, truncated)

    # ---- files

    def fresh(self) -> "TextEncoder":
        """An encoder with the same settings that has learnt nothing."""
        return TextEncoder(
            copy.deepcopy(self.tokenizer), max_vocabulary=self.max_vocabulary,
            min_count=self.min_count, max_length=self.max_length, once=self.once,
            keep_unknown=self.keep_unknown,
        )  # fmt: skip

    def to_config(self) -> dict[str, Any]:
        """What was learnt, as JSON values."""
        return {
            "tokenizer": self.tokenizer.to_config(),
            "vocabulary": self.vocabulary.to_config(),
            "length": self.length,
            "once": self.once,
            "keep_unknown": self.keep_unknown,
        }

    @classmethod
    def from_config(cls, config: object, where: str = _WHERE) -> Self:
        """The encoder that `to_config` described.

        Raises:
            FileFormatError: the settings are damaged.
        """
        keys = ("tokenizer", "vocabulary", "length", "once", "keep_unknown")
        stored = StoredConfig(config, where, keys)
        length = stored.integer("length", 1, MAX_LENGTH)
        result = cls(
            stored_tokenizer(stored, "tokenizer"), max_length=length,
            once=stored.boolean("once"), keep_unknown=stored.boolean("keep_unknown"),
        )  # fmt: skip
        result.vocabulary, result.length = Vocabulary.from_config(stored, "vocabulary"), length
        return result


def tokenizer_of(given: str | Tokenizer) -> Tokenizer:
    """A tokenizer, or a new one of the kind that is named.

    Raises:
        UnknownNameError: there is no such kind.
    """
    if isinstance(given, Tokenizer):
        return given
    if given not in TOKENIZERS:
        raise unknown_name(_WHERE, "tokenizer", given, TOKENIZERS)
    return TOKENIZERS[given]()


def stored_tokenizer(stored: StoredConfig, key: str) -> Tokenizer:
    """The tokenizer that a file describes.

    Raises:
        FileFormatError: the settings are damaged.
    """
    inner = stored.raw(key)
    kind = inner.get("kind") if isinstance(inner, dict) else None
    if not isinstance(kind, str) or kind not in TOKENIZERS:
        raise stored.wrong(key, kind, " or ".join(TOKENIZERS))
    return TOKENIZERS[kind].from_config(inner, stored.where)


def checked_texts(texts: Iterable[Any]) -> None:
    """Refuse what is no list of texts.

    Raises:
        DataError: a single text, no texts, or something that is no text.
    """
    if isinstance(texts, str):
        raise DataError(
            "texts", "this is a single text", got=repr(texts[:40]), expected="a list of texts",
            fix="put it into a list",
        )  # fmt: skip
    count = 0
    for text in texts:
        if not isinstance(text, str):
            raise DataError(
                "texts", "this is no text", got=f"{type(text).__name__} in row {count}",
                expected="str",
            )  # fmt: skip
        count += 1
    if not count:
        raise DataError("texts", "there are no texts", got="none", expected="at least one")


def length_buckets(lengths: NDArray[Any], most: int) -> list[tuple[int, NDArray[np.int64]]]:
    """Rows of similar length together, so that little padding is computed.

    The length of a row's bucket depends on the row alone: 16, 32, 64 and so on up to ``most``.

    Args:
        lengths: (N,) tokens of each row.
        most: the length that no bucket exceeds.

    Returns:
        The length of each bucket, shortest first, and the rows in it.

    Example:
        >>> [(length, rows.tolist()) for length, rows in length_buckets(np.array([3, 40, 9]), 50)]
        [(16, [0, 2]), (50, [1])]
    """
    edges = [SHORTEST_BUCKET]
    while edges[-1] < most:
        edges.append(2 * edges[-1])
    places = np.searchsorted(edges, lengths)
    return [
        (min(edge, most), np.flatnonzero(places == place))
        for place, edge in enumerate(edges)
        if (places == place).any()
    ]
