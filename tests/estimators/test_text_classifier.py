"""TextClassifier: texts in, classes out, and the file between."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.data import TextData, TextEncoder
from chainrule.data.tokenizers import CharacterTokenizer, GramTokenizer
from chainrule.errors import (
    ArgumentError,
    DataError,
    FileFormatError,
    MissingDependencyError,
    UnknownNameError,
)
from chainrule.estimators import NetworkClassifier, NotFittedError, TextClassifier, load
from chainrule.estimators import text_defaults as defaults
from chainrule.formats import read_model_file, write_model_file

GOOD = ["fine", "lovely", "great", "funny", "moving"]
BAD = ["dull", "boring", "poor", "weak", "flat"]


def reviews(count: int, seed: int = 0) -> tuple[list[str], np.ndarray]:
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    words = [random.choice(GOOD if label else BAD, 2) for label in labels]
    fill = [random.choice(["film", "story", "plot", "cast"], 3) for _ in labels]
    texts = [" ".join([*a, "and", *b]) for a, b in zip(words, fill, strict=True)]
    return texts, np.array(["bad", "good"])[labels]


@pytest.fixture(scope="module")
def trained() -> TextClassifier:
    return TextClassifier(random_state=0).fit(*reviews(200))


def test_it_learns_words(trained: TextClassifier) -> None:
    texts, labels = reviews(100, seed=1)
    assert trained.classes_.tolist() == ["bad", "good"]
    assert trained.score(texts, labels) > 0.97
    probabilities = trained.predict_proba(texts)
    assert probabilities.shape == (100, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    # A misspelt word shares pieces with the right one.
    assert trained.predict(["borring, weaak"]).tolist() == ["bad"]


def test_an_answer_does_not_depend_on_the_other_texts(trained: TextClassifier) -> None:
    texts, _ = reviews(30, seed=2)
    texts = [*texts, "", "☃", " ".join(texts)]
    together = trained.predict_proba(texts)
    alone = np.concatenate([trained.predict_proba([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert (together[-3] == together[-2]).all()  # nothing known is in either


@pytest.mark.parametrize("container", [list, tuple, np.array, iter, lambda t: np.array(t, object)])
def test_any_container_of_texts(trained: TextClassifier, container: object) -> None:
    texts, _ = reviews(4)
    assert (trained.predict(container(texts)) == trained.predict(texts)).all()


def test_series_and_labels_of_any_kind() -> None:
    pandas = pytest.importorskip("pandas")
    texts, labels = reviews(60)
    made = TextClassifier(epochs=2, random_state=0)
    made.fit(pandas.Series(texts), pandas.Series(labels == "good"))
    assert made.classes_.tolist() == [False, True]
    assert made.predict(pandas.Series(texts[:3])).shape == (3,)


def test_text_data_and_lists_give_the_same_network() -> None:
    texts, labels = reviews(60)
    codes = np.searchsorted(["bad", "good"], labels).astype(np.int32)
    data = TextData(texts, codes, ["bad", "good"], [""] * 60, [], "words", "mood")
    one = TextClassifier(epochs=2, random_state=3).fit(data)
    two = TextClassifier(epochs=2, random_state=3).fit(texts, labels)
    assert (one.predict_proba(data) == two.predict_proba(texts)).all()
    assert (one.text_name_, one.classifier_.target_name_) == ("words", "mood")
    assert two.text_name_ is None


def test_a_seed_repeats_the_network() -> None:
    x, y = reviews(64)
    found = [TextClassifier(epochs=1, random_state=s).fit(x, y).predict_proba(x) for s in (5, 5, 6)]
    assert (found[0] == found[1]).all()
    assert not (found[0] == found[2]).all()


def test_the_file_holds_all_that_predicting_needs(trained: TextClassifier, tmp_path: Path) -> None:
    trained.save(tmp_path / "m.safetensors")
    loaded = load(tmp_path / "m.safetensors")
    assert isinstance(loaded, TextClassifier)
    texts, _ = reviews(40, seed=2)
    texts += ["", "so ☃ unknown"]
    assert (loaded.predict_proba(texts) == trained.predict_proba(texts)).all()
    assert loaded.classes_.tolist() == ["bad", "good"]
    loaded.save(tmp_path / "again.safetensors")
    again = load(tmp_path / "again.safetensors")
    assert (again.predict_proba(texts) == trained.predict_proba(texts)).all()
    copied = pickle.loads(pickle.dumps(trained))  # noqa: S301
    assert (copied.predict_proba(texts) == trained.predict_proba(texts)).all()


@pytest.mark.parametrize("tokens", ["words", "characters", GramTokenizer(2, 3, 0), TextEncoder()])
def test_other_tokens(tokens: object, tmp_path: Path) -> None:
    texts, labels = reviews(80)
    made = TextClassifier(tokens, random_state=0).fit(texts, labels)
    made.save(tmp_path / "m")
    assert (load(tmp_path / "m").predict_proba(texts) == made.predict_proba(texts)).all()
    assert made.score(texts, labels) > 0.8


def test_an_encoder_given_stays_as_it_is() -> None:
    texts, labels = reviews(40)
    given = TextEncoder(CharacterTokenizer(), max_length=20)
    made = TextClassifier(given, epochs=1).fit(texts, labels)
    assert not hasattr(given, "vocabulary")
    assert made.preparation_.length == 20
    assert made.truncated_ > 0


def test_a_network_of_ones_own(tmp_path: Path) -> None:
    def convolution(ids: int, length: int, classes: int) -> cr.Model:
        return cr.Sequential(
            [
                cr.layers.Embedding(ids, 8),
                cr.layers.Conv1D(16, 3, padding="same", activation="relu"),
                cr.layers.GlobalMaxPooling1D(),
                cr.layers.Dense(classes),
            ]
        )

    texts, labels = reviews(120)
    own = TextClassifier("words", network=convolution, epochs=10, random_state=0)
    own.fit(texts, labels).save(tmp_path / "m")
    assert own.score(texts, labels) > 0.9
    loaded = load(tmp_path / "m")
    assert loaded.network_ == "given by the user"
    assert (loaded.predict_proba(texts) == own.predict_proba(texts)).all()


def test_damaged_files_are_refused(trained: TextClassifier, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    trained.save(path)
    metadata, arrays = read_model_file(path)
    good = metadata["texts"]
    encoder = good["preparation"]
    for damaged in (
        None,
        {},
        [],
        {**good, "more": 1},
        {**good, "network": "os.system"},
        {**good, "column": 5},
        {**good, "preparation": None},
        {**good, "preparation": {**encoder, "length": encoder["length"] + 1}},
        {**good, "preparation": {**encoder, "vocabulary": [*encoder["vocabulary"], "one more"]}},
        {**good, "preparation": {**encoder, "tokenizer": {"kind": "eval"}}},
    ):
        write_model_file(path, {**metadata, "texts": damaged}, arrays)
        with pytest.raises(FileFormatError):
            load(path)


def test_a_table_model_with_texts_is_refused(trained: TextClassifier, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 4))
    NetworkClassifier(epochs=1, random_state=0).fit(x, np.arange(60) % 2).save(tmp_path / "t")
    trained.save(tmp_path / "m")
    texts = read_model_file(tmp_path / "m")[0]["texts"]
    metadata, arrays = read_model_file(tmp_path / "t")
    write_model_file(tmp_path / "t", {**metadata, "texts": texts}, arrays)
    with pytest.raises(FileFormatError):
        load(tmp_path / "t")


def test_settings_given_win_over_the_defaults() -> None:
    x, y = reviews(60)
    default = TextClassifier(random_state=0).fit(x, y).classifier_.get_params()
    assert (default["batch_size"], default["epochs"]) == (8, 20)
    assert default["early_stopping"] is False
    given = TextClassifier(
        batch_size=20, max_epochs=3, weight_decay=0.5, lr=0.01, until={"val_accuracy": 0.99}
    )
    found = given.fit(x, y).classifier_.get_params()
    assert (found["batch_size"], found["epochs"], found["weight_decay"]) == (20, 3, 0.5)
    assert found["learning_rate"] == 0.01
    assert found["early_stopping"] == "auto"


def test_wrong_settings_are_refused_at_once() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'words'"):
        TextClassifier("word")
    with pytest.raises(UnknownNameError, match="unknown network"):
        TextClassifier(network="bert")
    with pytest.raises(ArgumentError, match="wrong chinese"):
        TextClassifier(chinese="yes")
    with pytest.raises(UnknownNameError, match="epochs"):
        TextClassifier(epoch=3)
    with pytest.raises(ArgumentError, match="there is no setting 'hidden'"):
        TextClassifier(hidden=(3,))
    with pytest.raises(NotFittedError):
        TextClassifier().predict(["a"])


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        ("a text", ["a"], "these are no texts"),
        (5, ["a"], "these are no texts"),
        ([], [], "there are no texts"),
        (["a", None], ["a", "b"], "this is no text: got None in row 1"),
        (["a", "b"], None, "not one class for each text: got none"),
        (["a", "b"], ["a"], "not one class for each text: got 1, expected 2"),
        (["a", "b"], ["a", "a"], "only one class"),
        (["", " "], ["a", "b"], "there is no token in the texts"),
    ],
)
def test_wrong_texts(x: object, y: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        TextClassifier().fit(x, y)


def test_text_data_without_classes(trained: TextClassifier) -> None:
    data = TextData(["a"], np.array([-1], np.int32), [], ["line 1"], [])
    assert trained.predict(data).shape == (1,)
    with pytest.raises(DataError, match="classes of the texts are not known"):
        copy.copy(trained).fit(data)
    with pytest.raises(DataError, match="brings its own classes"):
        copy.copy(trained).fit(data, ["a"])


def test_a_model_with_jieba_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("jieba")
    texts, labels = ["电影很好看", "电影不好看"] * 10, ["+", "-"] * 10
    TextClassifier(chinese="jieba", epochs=1).fit(texts, labels).save(tmp_path / "m")
    from chainrule.data import tokenizers

    def gone() -> None:
        raise tokenizers.missing_dependency("WordTokenizer", "jieba", "chinese")

    monkeypatch.setattr(tokenizers, "_jieba", gone)
    with pytest.raises(MissingDependencyError, match=r"chainrule\[chinese\]"):
        load(tmp_path / "m").predict(texts)


def test_defaults_follow_from_number_and_length() -> None:
    for words in (0, 5, 50, 300, 5_000):
        for count in (2, 50, 5_000, 100_000, 10**6):
            encoder = defaults.encoder(count, words)
            assert encoder.once
            batch = defaults.batch_size(count)
            assert 8 <= batch <= 64
            assert 4 <= defaults.epochs(count, batch) <= 20
    assert defaults.token_dropout(0) == 0
