"""One long text as a stream of numbers, and back: what a network that writes learns from."""

from collections import Counter
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from chainrule.data.byte_pairs import BytePairTokenizer
from chainrule.data.checks import StoredConfig
from chainrule.data.text_encoding import stored_tokenizer, tokenizer_of
from chainrule.data.tokenizers import CharacterTokenizer, Tokenizer, normal
from chainrule.data.vocabulary import Vocabulary
from chainrule.errors import ArgumentError, DataError, StateError

#: More different characters than this are rare ones, which count as unknown.
MAX_CHARACTERS = 4_000

_WHERE = "TextStream"


class TextStream:
    """Turns a long text into a stream of numbers without padding, and numbers into text.

    Args:
        tokenizer: "characters" (default), "byte pairs", or such a tokenizer.

    Attributes:
        vocabulary: the tokens that have a number; 1 stands for those that are not known.

    Raises:
        ArgumentError: a tokenizer whose tokens do not join to the text.

    Example:
        >>> stream = TextStream().fit("banana")
        >>> stream.ids("ban!").tolist(), stream.text([4, 2, 3, 2])
        ([4, 2, 3, 1], 'bana')

    `windows` cuts the stream for training by truncated backpropagation.
    """

    vocabulary: Vocabulary

    def __init__(self, tokenizer: str | Tokenizer = "characters") -> None:
        self.tokenizer = tokenizer_of(tokenizer)
        if not isinstance(self.tokenizer, CharacterTokenizer | BytePairTokenizer):
            raise ArgumentError(
                _WHERE, "the tokens do not join to the text", got=self.tokenizer.kind,
                expected="characters or byte pairs",
            )  # fmt: skip

    def fit(self, text: str) -> Self:
        """Learn tokens and vocabulary from a text.

        Raises:
            DataError: it is empty.
        """
        if not text:
            raise DataError(_WHERE, "the text is empty", expected="some text")
        if isinstance(self.tokenizer, BytePairTokenizer):
            self.tokenizer.fit(text.splitlines(keepends=True))
            self.vocabulary = Vocabulary(self.tokenizer.vocabulary)
        else:
            counts = Counter(self.tokenizer.tokens(text))
            self.vocabulary = Vocabulary.of_counts(counts, max_size=MAX_CHARACTERS)
        return self

    def ids(self, text: str) -> NDArray[np.int32]:
        """The number of each token, (steps,) int32.

        Raises:
            StateError: nothing is learnt yet.
        """
        if not hasattr(self, "vocabulary"):
            raise StateError(_WHERE, "it has learnt nothing yet", fix="call fit(text) first")
        return np.array(self.vocabulary.ids(self.tokenizer.tokens(normal(text))), np.int32)

    def text(self, ids: Any) -> str:
        """The text of numbers; those that stand for no token are left out."""
        tokens = self.vocabulary.tokens([int(number) for number in ids])
        return self.tokenizer.join([token for token in tokens if token is not None])

    def to_config(self) -> dict[str, Any]:
        """What was learnt, as JSON values."""
        return {
            "tokenizer": self.tokenizer.to_config(), "vocabulary": self.vocabulary.to_config()
        }  # fmt: skip

    @classmethod
    def from_config(cls, config: object, where: str = _WHERE) -> Self:
        """The stream that `to_config` described.

        Raises:
            FileFormatError: the settings are damaged.
        """
        stored = StoredConfig(config, where, ("tokenizer", "vocabulary"))
        tokenizer = stored_tokenizer(stored, "tokenizer")
        if not isinstance(tokenizer, CharacterTokenizer | BytePairTokenizer):
            raise stored.wrong("tokenizer", tokenizer.kind, "characters or byte pairs")
        result = cls(tokenizer)
        result.vocabulary = Vocabulary.from_config(stored, "vocabulary")
        return result
