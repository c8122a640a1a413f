"""Texts as lists of tokens: characters, words, words with their n-grams and pieces.

Every text is brought to Unicode's form NFC first, so that a letter with an accent is the same token
however it was typed. Byte pairs are in `byte_pairs`; the table of all kinds is in `text_encoding`.
"""

import re
import sys
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any, ClassVar, Self

from chainrule.data.checks import StoredConfig
from chainrule.errors import ArgumentError, missing_dependency

#: Longer words, such as addresses of web pages, are cut.
MAX_WORD = 64
MAX_NGRAM = 8
CHINESE = ("characters", "jieba")

# Letters of scripts that write no spaces between words: each is a word of its own.
_ALONE = (
    "\u3005\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9d"
    "\U00020000-\U000323af"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_KNOWN_WORDS = 200_000


def normal(text: str) -> str:
    r"""The text in Unicode's form NFC; halves of surrogate pairs become U+FFFD.

    >>> normal("e\u0301") == "\u00e9"
    True
    """
    if text.isascii():
        return text
    return _SURROGATE.sub("\ufffd", unicodedata.normalize("NFC", text))


class Tokenizer:
    """What turns a text into tokens, and stores how it does.

    ``fit`` learns from texts where there is something to learn.
    """

    kind: ClassVar[str]

    def fit(self, texts: Iterable[str]) -> Self:
        """Learn from texts; most kinds have nothing to learn."""
        return self

    def tokens(self, text: str) -> list[str]:
        """The tokens of a text, in order."""
        raise NotImplementedError

    def join(self, tokens: Sequence[str]) -> str:
        """A text of these tokens."""
        return "".join(tokens)

    def to_config(self) -> dict[str, Any]:
        """The settings as JSON values; ``kind`` says which class they are for."""
        return {"kind": self.kind}

    @classmethod
    def from_config(cls, config: object, where: str) -> "Tokenizer":
        """The tokenizer that `to_config` described.

        Raises:
            FileFormatError: the settings are damaged.
        """
        StoredConfig(config, where, ("kind",))
        return cls()


class CharacterTokenizer(Tokenizer):
    """Every character is a token.

    ``join`` of the tokens is the text (in form NFC).

    Example:
        >>> CharacterTokenizer().tokens("Hi 世")
        ['H', 'i', ' ', '世']
    """

    kind = "characters"

    def tokens(self, text: str) -> list[str]:
        return list(normal(text))


class WordTokenizer(Tokenizer):
    """Words, numbers and single marks.

    An apostrophe inside belongs to the word. Chinese and Japanese, which have no spaces, fall into
    characters, or Chinese into words by the package jieba. Words of more than 64 letters are cut.

    Args:
        lowercase: capitals become small letters; default True.
        chinese: "characters" or "jieba"; default "characters".

    Raises:
        ArgumentError: another value of ``chinese``.
        MissingDependencyError: jieba is not installed (when the first Chinese text comes).

    Example:
        >>> WordTokenizer().tokens("Don't panic: 42 世界!")
        ["don't", 'panic', ':', '42', '世', '界', '!']
    """

    kind = "words"

    def __init__(self, lowercase: bool = True, chinese: str = "characters") -> None:
        if chinese not in CHINESE:
            raise ArgumentError(
                "WordTokenizer", "wrong chinese", got=repr(chinese), expected=" or ".join(CHINESE)
            )
        self.lowercase = bool(lowercase)
        self.chinese = chinese

    def tokens(self, text: str) -> list[str]:
        text = normal(text)
        # Small letters may have another form NFC: that of a capital with a dot.
        text = normal(text.lower()) if self.lowercase else text
        words = _words(self.chinese == "jieba").findall(text)
        if self.chinese == "jieba" and not text.isascii():
            words = list(_segmented(words))
        return [word[:MAX_WORD] for word in words]

    def join(self, tokens: Sequence[str]) -> str:
        """The words with spaces between them."""
        return " ".join(tokens)

    def to_config(self) -> dict[str, Any]:
        return {"kind": self.kind, "lowercase": self.lowercase, "chinese": self.chinese}

    @classmethod
    def from_config(cls, config: object, where: str) -> "WordTokenizer":
        stored = StoredConfig(config, where, ("kind", "lowercase", "chinese"))
        return cls(stored.boolean("lowercase"), stored.choice("chinese", CHINESE))


class GramTokenizer(WordTokenizer):
    """Words, runs of words, and pieces of words: what a text is about, without its order.

    A run of 2 to ``word_ngrams`` words is a token with spaces in it. A piece of ``shortest`` to
    ``longest`` letters of ``<word>`` is a token that begins with #, so that "good" and "goodness",
    or a word and its misspelling, have something in common.

    Args:
        word_ngrams: the longest run of words; default 3.
        shortest, longest: letters of a piece; default 3 and 6; ``longest`` 0 for no pieces.
        lowercase, chinese: as in `WordTokenizer`.

    Raises:
        ArgumentError: sizes out of range.

    Example:
        >>> GramTokenizer(2, 4, 4).tokens("Not bad")
        ['not', 'bad', 'not bad', '#<not', '#not>', '#<bad', '#bad>']

    Reference: Bojanowski et al., "Enriching word vectors with subword information", 2017.
    """

    kind = "grams"

    def __init__(
        self,
        word_ngrams: int = 3,
        shortest: int = 3,
        longest: int = 6,
        lowercase: bool = True,
        chinese: str = "characters",
    ) -> None:
        super().__init__(lowercase, chinese)
        for name, value, low in (
            ("word_ngrams", word_ngrams, 1), ("shortest", shortest, 1), ("longest", longest, 0)
        ):  # fmt: skip
            if type(value) is not int or not low <= value <= MAX_NGRAM:
                raise ArgumentError(
                    "GramTokenizer", f"wrong {name}", got=repr(value),
                    expected=f"a whole number from {low} to {MAX_NGRAM}",
                )  # fmt: skip
        self.word_ngrams, self.shortest, self.longest = word_ngrams, shortest, longest
        self._pieces: dict[str, tuple[str, ...]] = {}

    def tokens(self, text: str) -> list[str]:
        words = super().tokens(text)
        found = list(words)
        for size in range(2, self.word_ngrams + 1):
            found += map(" ".join, zip(*(words[start:] for start in range(size)), strict=False))
        if self.longest:
            known = self._pieces
            for word in words:
                pieces = known.get(word)
                found += self._cut(word) if pieces is None else pieces
        return found

    def _cut(self, word: str) -> tuple[str, ...]:
        """The pieces of a word, shorter than itself with its ends marked."""
        whole = f"<{word}>"
        sizes = range(self.shortest, min(self.longest, len(whole) - 1) + 1)
        pieces = tuple(
            "#" + sys.intern(whole[start : start + size])
            for size in sizes
            for start in range(len(whole) - size + 1)
            if len(word) > 1
        )
        if len(self._pieces) < _KNOWN_WORDS:
            self._pieces[word] = pieces
        return pieces

    def to_config(self) -> dict[str, Any]:
        sizes = {"word_ngrams": self.word_ngrams, "shortest": self.shortest}
        return {**super().to_config(), **sizes, "longest": self.longest}

    @classmethod
    def from_config(cls, config: object, where: str) -> "GramTokenizer":
        keys = ("kind", "lowercase", "chinese", "word_ngrams", "shortest", "longest")
        stored = StoredConfig(config, where, keys)
        return cls(
            stored.integer("word_ngrams", 1, MAX_NGRAM),
            stored.integer("shortest", 1, MAX_NGRAM),
            stored.integer("longest", 0, MAX_NGRAM),
            stored.boolean("lowercase"),
            stored.choice("chinese", CHINESE),
        )


@cache
def _words(chinese_runs: bool) -> "re.Pattern[str]":
    """What a word is: letters and digits with their marks, or one letter without neighbours."""
    marks = "".join(c for c in map(chr, range(0x300, 0x20000)) if unicodedata.category(c)[0] == "M")
    letters = rf"[^\W_{_ALONE}]+(?:[{marks}]+[^\W_{_ALONE}]*)*"
    alone = f"[{_ALONE}]" + ("+" if chinese_runs else "")
    return re.compile(rf"{letters}(?:['’]{letters})*|{alone}|\S")


def _segmented(words: Iterable[str]) -> Iterator[str]:
    """The words, runs of Chinese cut into words by jieba."""
    for word in words:
        if len(word) > 1 and _words(True).fullmatch(word) and re.match(f"[{_ALONE}]", word):
            yield from _jieba().cut(word)
        else:
            yield word


@cache
def _jieba() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package is older than today's Python
            import jieba
    except ImportError:
        raise missing_dependency("WordTokenizer", "jieba", "chinese") from None
    segmenter = jieba.Tokenizer()
    # What `initialize` would do, without its cache: that is unmarshalled from a shared folder.
    segmenter.FREQ, segmenter.total = segmenter.gen_pfdict(segmenter.get_dict_file())
    segmenter.initialized = True
    return segmenter
