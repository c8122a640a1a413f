"""Byte pairs: a tokenizer that learns frequent pieces of text, by the package tokenizers."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Self

from chainrule.data.checks import StoredConfig
from chainrule.data.tokenizers import Tokenizer, normal
from chainrule.errors import ArgumentError, DataError, StateError, missing_dependency

MAX_MERGES = 200_000
BYTES = 256

_WHERE = "BytePairTokenizer"


class BytePairTokenizer(Tokenizer):
    """Pieces of text that are frequent, from single bytes to whole words.

    Starts from the 256 bytes of UTF-8; again and again the most frequent pair of neighbours within
    words becomes a token. So every text has tokens, and ``join`` of them is the text (in form NFC).
    A token is spelt in 256 printable characters, one for a byte, as in GPT-2's vocabulary: a space
    is "Ġ".

    Args:
        size: how many tokens to learn, the 256 bytes counted; default 8,000. Fewer texts give
            fewer.

    Raises:
        ArgumentError: the size is out of range.
        MissingDependencyError: the package tokenizers is not installed (when it is first used).
        StateError: tokens are asked for before ``fit``.

    Example:
        >>> tokenizer = BytePairTokenizer(260).fit(["low lower lowest"] * 5)
        >>> tokenizer.tokens("low slow")
        ['low', 'Ġ', 's', 'low']
        >>> tokenizer.join(tokenizer.tokens("low slow"))
        'low slow'

    Reference: Sennrich, Haddow, Birch, "Neural machine translation of rare words with subword
    units", 2016; over bytes: Radford et al., "Language models are unsupervised multitask
    learners", 2019.
    """

    kind = "byte pairs"

    def __init__(self, size: int = 8_000) -> None:
        if type(size) is not int or not BYTES <= size <= BYTES + MAX_MERGES:
            raise ArgumentError(
                _WHERE, "wrong size", got=repr(size),
                expected=f"a whole number from {BYTES} to {BYTES + MAX_MERGES:,}",
            )  # fmt: skip
        self.size = size
        self._merges: list[tuple[str, str]] | None = None
        self._engine: Any = None

    def fit(self, texts: Iterable[str]) -> Self:
        package = _package()
        engine = _engine(package, [])
        trainer = package.trainers.BpeTrainer(
            vocab_size=self.size, show_progress=False, special_tokens=[],
            initial_alphabet=package.pre_tokenizers.ByteLevel.alphabet(),
        )  # fmt: skip
        engine.train_from_iterator(map(normal, texts), trainer)
        merges = json.loads(engine.to_str())["model"]["merges"]
        self._set([(str(left), str(right)) for left, right in merges])
        return self

    def _set(self, merges: list[tuple[str, str]]) -> None:
        self._merges = merges
        self._engine = _engine(_package(), merges)

    @property
    def vocabulary(self) -> list[str]:
        """All tokens: the bytes, then the learnt ones in the order of learning."""
        return _vocabulary(_package(), self._learnt())

    def _learnt(self) -> list[tuple[str, str]]:
        if self._merges is None:
            raise StateError(_WHERE, "it has learnt nothing yet", fix="call fit(texts) first")
        return self._merges

    def tokens(self, text: str) -> list[str]:
        self._learnt()
        return list(self._engine.encode(normal(text)).tokens)

    def join(self, tokens: Sequence[str]) -> str:
        return str(_package().decoders.ByteLevel().decode(list(tokens)))

    def to_config(self) -> dict[str, Any]:
        merges = [part for pair in self._learnt() for part in pair]
        return {"kind": self.kind, "merges": merges}

    @classmethod
    def from_config(cls, config: object, where: str) -> "BytePairTokenizer":
        stored = StoredConfig(config, where, ("kind", "merges"))
        parts = stored.texts("merges", 2 * MAX_MERGES, distinct=False)
        merges = list(zip(parts[::2], parts[1::2], strict=False))
        known = set(_alphabet(_package()))
        for left, right in merges:
            if left not in known or right not in known or left + right in known:
                raise stored.wrong("merges", (left, right), "pairs of known tokens, each once")
            known.add(left + right)
        if len(parts) % 2:
            raise stored.wrong("merges", f"{len(parts)} parts", "pairs")
        result = cls(BYTES + len(merges))
        result._set(merges)
        return result


def _package() -> Any:
    try:
        import tokenizers
    except ImportError:
        raise missing_dependency(_WHERE, "tokenizers", "text") from None
    return tokenizers


def _alphabet(package: Any) -> list[str]:
    """The characters that stand for the 256 bytes."""
    alphabet = sorted(package.pre_tokenizers.ByteLevel.alphabet())
    if len(alphabet) != BYTES:
        raise DataError(_WHERE, "the package tokenizers has another alphabet", got=len(alphabet))
    return alphabet


def _vocabulary(package: Any, merges: Sequence[tuple[str, str]]) -> list[str]:
    return [*_alphabet(package), *(left + right for left, right in merges)]


def _engine(package: Any, merges: Sequence[tuple[str, str]]) -> Any:
    numbers = {token: number for number, token in enumerate(_vocabulary(package, merges))}
    engine = package.Tokenizer(package.models.BPE(vocab=numbers, merges=list(merges)))
    engine.pre_tokenizer = package.pre_tokenizers.ByteLevel(add_prefix_space=False)
    return engine
