"""Tokenisers, vocabulary and encoder: round trips, limits, damaged settings."""

import json
import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.data import TextEncoder
from chainrule.data.byte_pairs import BytePairTokenizer
from chainrule.data.text_encoding import MAX_CHARACTERS, TOKENIZERS, length_buckets
from chainrule.data.tokenizers import (
    CharacterTokenizer,
    GramTokenizer,
    Tokenizer,
    WordTokenizer,
    normal,
)
from chainrule.data.vocabulary import Vocabulary
from chainrule.errors import (
    ArgumentError,
    DataError,
    FileFormatError,
    MissingDependencyError,
    StateError,
    UnknownNameError,
)

ANY_TEXT = st.text(st.characters(codec=None), max_size=60)
SENTENCES = ["the cat sat on the mat", "the dog ran to the cat", "a naïve café, a 世界 of its own"]


# ---- tokenisers


@given(ANY_TEXT)
def test_characters_join_to_the_text_in_nfc(text: str) -> None:
    tokenizer = CharacterTokenizer()
    joined = tokenizer.join(tokenizer.tokens(text))
    assert joined == normal(text)
    assert unicodedata.is_normalized("NFC", joined)
    joined.encode()  # no half of a surrogate pair is left


@given(ANY_TEXT)
def test_words_lose_nothing_but_space(text: str) -> None:
    plain = normal(text)
    tokens = WordTokenizer(lowercase=False).tokens(text)
    assert "".join(tokens) == "".join(plain.split())
    assert all(token and not token.isspace() for token in tokens)
    grams = GramTokenizer(2, 3, 4).tokens(text)
    assert grams[: len(tokens)] == WordTokenizer().tokens(text)
    assert all("\n" not in token for token in grams)


@given(ANY_TEXT)
@settings(max_examples=60)
def test_byte_pairs_join_to_any_text(text: str) -> None:
    pytest.importorskip("tokenizers")
    tokenizer = BytePairTokenizer(300).fit(SENTENCES)
    assert tokenizer.join(tokenizer.tokens(text)) == normal(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's 3.5°, isn't it?", ["it's", "3", ".", "5", "°", ",", "isn't", "it", "?"]),
        ("snake_case", ["snake", "_", "case"]),
        ("cafe\u0301", ["café"]),
        ("我爱北京 I do", ["我", "爱", "北", "京", "i", "do"]),
        ("すし bar", ["す", "し", "bar"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("İ", ["i̇"]),
        ("x" * 100, ["x" * 64]),
        ("  \t\n", []),
        ("", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert WordTokenizer().tokens(text) == words


def test_grams() -> None:
    found = GramTokenizer(3, 3, 3).tokens("ab cd e")
    assert found == [
        "ab", "cd", "e", "ab cd", "cd e", "ab cd e", "#<ab", "#ab>", "#<cd", "#cd>",
    ]  # fmt: skip
    assert GramTokenizer(1, 3, 0).tokens("ab cd") == ["ab", "cd"]
    shared = set(GramTokenizer().tokens("goodness")) & set(GramTokenizer().tokens("good"))
    assert {"#<good", "#ood"} <= shared


def test_jieba_makes_words_without_a_shared_cache(tmp_path: object) -> None:
    pytest.importorskip("jieba")
    tokenizer = WordTokenizer(chinese="jieba")
    assert tokenizer.tokens("我来到北京清华大学 ok!") == [
        "我", "来到", "北京", "清华大学", "ok", "!",
    ]  # fmt: skip


def test_without_a_package_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'chainrule\[text\]'"):
        BytePairTokenizer().fit(["a"])


def test_tokenizers_refuse_wrong_settings() -> None:
    with pytest.raises(ArgumentError, match="expected characters or jieba"):
        WordTokenizer(chinese="words")
    with pytest.raises(ArgumentError, match="wrong longest: got 9"):
        GramTokenizer(longest=9)
    with pytest.raises(ArgumentError, match="wrong size: got 255"):
        BytePairTokenizer(255)
    with pytest.raises(StateError, match="learnt nothing yet"):
        BytePairTokenizer().tokens("a")
    with pytest.raises(UnknownNameError, match="did you mean 'words'"):
        TextEncoder("word")


# ---- vocabulary


@given(st.dictionaries(st.text(max_size=4), st.integers(1, 9), max_size=20), st.integers(1, 9))
def test_vocabulary_keeps_the_most_frequent(counts: dict[str, int], most: int) -> None:
    found = Vocabulary.of_counts(counts, max_size=most, min_count=3)
    kept = [counts[token] for token in found.known]
    assert kept == sorted(kept, reverse=True)
    assert len(found.known) == min(most, sum(n >= 3 for n in counts.values()))
    assert all(counts[token] <= min(kept, default=9) for token in counts.keys() - set(found.known)
               if counts[token] >= 3)  # fmt: skip
    ids = found.ids(found.known)
    assert ids == list(range(2, len(found)))
    assert found.tokens(ids) == found.known
    assert found.ids(["not a token"]) == [1]


def test_vocabulary_refuses() -> None:
    with pytest.raises(ArgumentError, match="wrong max_size: got 0"):
        Vocabulary.of_counts({"a": 1}, max_size=0)
    with pytest.raises(DataError, match="comes twice"):
        Vocabulary(["a", "a"])
    with pytest.raises(ArgumentError, match="no such number: got 9, expected 0 to 2"):
        Vocabulary(["a"]).tokens([9])


# ---- encoder


@pytest.mark.parametrize("kind", list(TOKENIZERS))
def test_a_stored_encoder_gives_the_same_numbers(kind: str) -> None:
    if kind == "byte pairs":
        pytest.importorskip("tokenizers")
    encoder = TextEncoder(kind).fit(SENTENCES)
    stored = json.loads(json.dumps(encoder.to_config()))
    again = TextEncoder.from_config(stored)
    new = [*SENTENCES, "", "zebra ☃ the", "x\ud800y"]
    assert (again.transform(new) == encoder.transform(new)).all()
    assert again.to_config() == encoder.to_config()


@given(st.lists(ANY_TEXT, min_size=1, max_size=6), st.booleans(), st.booleans())
@settings(max_examples=60)
def test_rows_are_tokens_then_padding(texts: list[str], once: bool, keep: bool) -> None:
    encoder = TextEncoder(max_length=7, once=once, keep_unknown=keep).fit(SENTENCES)
    found = encoder.encode(texts)
    assert found.ids.shape == (len(texts), 7)
    assert found.ids.dtype == np.int32
    longer = 0
    for text, row, length in zip(texts, found.ids, found.lengths, strict=True):
        tokens = WordTokenizer().tokens(text)
        tokens = list(dict.fromkeys(tokens)) if once else tokens
        ids = encoder.vocabulary.ids(tokens)
        ids = ids if keep else [number for number in ids if number != 1]
        longer += len(ids) > 7
        assert row[:length].tolist() == ids[:7]
        assert (row[length:] == 0).all()
    assert found.truncated == longer


def test_limits_of_the_vocabulary() -> None:
    texts = ["a a a b", "a b c", "a d"]
    assert TextEncoder(min_count=2).fit(texts).vocabulary.known == ["a", "b"]
    assert TextEncoder(max_vocabulary=1).fit(texts).vocabulary.known == ["a"]
    # Where no token is frequent enough, all are better than none.
    assert len(TextEncoder(min_count=9).fit(texts).vocabulary.known) == 4
    with pytest.raises(DataError, match="there is no token in the texts"):
        TextEncoder().fit(["", "  "])
    with pytest.raises(DataError, match=r"too large for a model file.*lower max_vocabulary"):
        TextEncoder(max_vocabulary=100_000).fit([f"{'k' * 50}{i}" for i in range(40_000)])


def test_long_texts_are_cut_and_counted() -> None:
    encoder = TextEncoder("characters", max_length=10).fit(["abc", "x" * (MAX_CHARACTERS + 5)])
    assert encoder.length == 10
    found = encoder.encode(["abc", "a" * 11, "x" * (MAX_CHARACTERS + 5)])
    assert (found.truncated, found.lengths.tolist()) == (2, [3, 10, 10])


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ("one text", "this is a single text"),
        ([], "there are no texts"),
        (["a", 5], "this is no text: got int in row 1"),
        ([None], "this is no text: got NoneType in row 0"),
    ],
)
def test_encoder_refuses(texts: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        TextEncoder().fit(texts)
    with pytest.raises(DataError, match=words):
        TextEncoder().fit(SENTENCES).encode(texts)


def test_encoder_refuses_more_than_memory_should_hold() -> None:
    encoder = TextEncoder("characters", max_length=1_000_000)
    encoder.fit(["ab" * 50_000])
    encoder.length = 1_000_000
    with pytest.raises(DataError, match=r"too much memory.*lower max_length"):
        encoder.encode(["a"] * 1_100)
    with pytest.raises(StateError, match="learnt nothing yet"):
        TextEncoder().encode(["a"])
    with pytest.raises(ArgumentError, match="wrong max_length"):
        TextEncoder(max_length=0)


def damaged_configs() -> list[object]:
    good = TextEncoder(GramTokenizer(2, 3, 4)).fit(SENTENCES).to_config()
    inner = good["tokenizer"]
    changes: list[dict[str, object]] = [
        {"tokenizer": None}, {"tokenizer": {}}, {"tokenizer": {"kind": "os.system"}},
        {"tokenizer": {**inner, "longest": 10**9}}, {"tokenizer": {**inner, "chinese": "pickle"}},
        {"tokenizer": {**inner, "lowercase": 1}}, {"tokenizer": {**inner, "more": 1}},
        {"vocabulary": None}, {"vocabulary": ["a", "a"]}, {"vocabulary": [1]},
        {"vocabulary": ["x" * 5_000]}, {"length": 0}, {"length": 2.0}, {"length": 10**9},
        {"once": "no"}, {"keep_unknown": None}, {"more": 1},
    ]  # fmt: skip
    return [None, [], {}, *({**good, **change} for change in changes)]


@pytest.mark.parametrize("config", damaged_configs())
def test_damaged_settings_are_refused(config: object) -> None:
    with pytest.raises(FileFormatError):
        TextEncoder.from_config(config, "m")


@pytest.mark.parametrize(
    "merges", [None, ["a"], ["a", "b", "a", "b"], ["ab", "c"], ["a", 1], ["", "a"], ["世", "界"]]
)
def test_damaged_byte_pairs_are_refused(merges: object) -> None:
    pytest.importorskip("tokenizers")
    with pytest.raises(FileFormatError):
        BytePairTokenizer.from_config({"kind": "byte pairs", "merges": merges}, "m")


def test_own_tokenizers_work() -> None:
    class Halves(Tokenizer):
        kind = "halves"

        def tokens(self, text: str) -> list[str]:
            return [text[: len(text) // 2], text[len(text) // 2 :]]

    assert TextEncoder(Halves()).fit(["abcd", "abxy"]).vocabulary.known == ["ab", "cd", "xy"]


@given(st.lists(st.integers(0, 300), min_size=1, max_size=30), st.integers(1, 300))
def test_buckets_hold_every_row_once(lengths: list[int], most: int) -> None:
    cut = np.minimum(lengths, most)
    found = length_buckets(cut, most)
    rows = np.concatenate([rows for _, rows in found])
    assert sorted(rows.tolist()) == list(range(len(lengths)))
    for length, rows in found:
        assert length <= most
        assert (cut[rows] <= length).all()
