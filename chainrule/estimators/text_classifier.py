"""TextClassifier: a network that tells classes from texts."""

from collections.abc import Callable, Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from chainrule.data import TextData, TextEncoder
from chainrule.data.checks import StoredConfig
from chainrule.data.text_encoding import EncodedTexts, length_buckets
from chainrule.data.tokenizers import CHINESE, Tokenizer, WordTokenizer
from chainrule.errors import ArgumentError, DataError, FileFormatError
from chainrule.estimators import text_defaults as defaults
from chainrule.estimators.classifier import NetworkClassifier
from chainrule.estimators.media_classifier import OWN, MediaClassifier, settings_with
from chainrule.estimators.network import seed_of
from chainrule.training.model import Model

Array = NDArray[Any]
Network = Callable[[int, int, int], Model]

_WHERE = "TextClassifier"
TEXTS_AT_ONCE = 512
"""Texts that `predict_proba` runs together."""

TEXTS_LOOKED_AT = 2_000
"""Texts whose words are counted, to know how long texts are."""


class TextClassifier(MediaClassifier):
    """A network for texts, chosen and trained by their number and length.

    Texts become tokens: words, runs of up to three words, pieces of words. The network is the sum
    of their learned vectors and a dense layer. It learns as a `NetworkClassifier` does, by AdamW on
    cross-entropy, with a rate that falls along half a cosine instead of early stopping.

    Args:
        tokens: a `cr.data.TextEncoder`, a tokenizer, or the name of one ("words", "characters",
            "grams", "byte pairs"); default "auto": by number and length of the texts.
        network: a function of (numbers of tokens, length, classes) that returns a Model for (N,
            length) int32, or "bag"; default "bag".
        chinese: for tokens="auto": "characters", or "jieba", which must be installed then; default
            "characters".
        settings: those of `NetworkClassifier`, such as ``epochs``, ``batch_size``, ``until``,
            ``learning_rate`` and ``random_state``; their defaults here follow from the number of
            texts.

    Attributes:
        classes_: the classes, sorted.
        classifier_: the trained NetworkClassifier, with ``history_``, ``n_iter_``, ``model_``.
        preparation_: the `cr.data.TextEncoder` that turns texts into numbers.
        network_: the name of the network.
        truncated_: how many texts were longer than a row; None after loading.
        text_name_: the column that the texts are from, None if unknown.

    Example:
        >>> from chainrule.estimators import TextClassifier
        >>> texts = ["a good film", "good fun", "a bad film", "bad, so bad"] * 10
        >>> classifier = TextClassifier(random_state=0).fit(texts, ["+", "+", "-", "-"] * 10)
        >>> classifier.predict(["what a good one", "how bad"]).tolist()
        ['+', '-']

    An empty text, or one without a known token, is all padding: the answer is what the network says
    of nothing.
    """

    key = "texts"
    takes_indices = True

    preparation_: TextEncoder
    truncated_: int | None
    text_name_: str | None

    def __init__(
        self,
        tokens: str | Tokenizer | TextEncoder = "auto",
        *,
        network: str | Network = "bag",
        chinese: str = "characters",
        **settings: Any,
    ) -> None:
        super().__init__(settings)
        if isinstance(network, str):
            defaults.network_of(network)
        if isinstance(tokens, str) and tokens != "auto":
            TextEncoder(tokens)  # refuses an unknown name at once
        if chinese not in CHINESE:
            raise ArgumentError(
                _WHERE, "wrong chinese", got=repr(chinese), expected=" or ".join(CHINESE)
            )
        self.tokens = tokens
        self.network = network
        self.chinese = chinese

    # ---- learning

    def fit(self, x: TextData | Iterable[str], y: Any = None) -> Self:
        """Learn from texts, forgetting what was learnt before.

        Args:
            x: what `cr.data.text` returned, or N texts.
            y: for N texts, their classes.

        Returns:
            The classifier itself.

        Raises:
            DataError: texts that cannot be learnt from.
        """
        texts, labels = _examples(x, y)
        encoder = self._encoder(texts)
        encoded = encoder.fit_encode(texts)
        settings = settings_with(self.settings, len(texts), defaults)
        seed = settings["random_state"] = seed_of(settings["random_state"])
        typical = float(np.median(encoded.lengths))

        def make(length: int, classes: int) -> Model:
            ids = len(encoder.vocabulary)
            if not isinstance(self.network, str):
                return self.network(ids, length, classes)
            return defaults.network_of(self.network)(ids, typical, classes, seed)

        classifier = NetworkClassifier(model=make, preprocessing=False, **settings)
        classifier.takes_indices = True
        classifier.fit(encoded.ids, labels)
        classifier.model = None  # the function above, which cannot be pickled, is done
        self.network_ = self.network if isinstance(self.network, str) else OWN
        self.classifier_, self.preparation_ = classifier, encoder
        self.truncated_ = encoded.truncated
        self.text_name_ = getattr(x, "column", None)
        classifier.target_name_ = getattr(x, "target", None)
        return self

    def _encoder(self, texts: list[str]) -> TextEncoder:
        if isinstance(self.tokens, TextEncoder):
            return self.tokens.fresh()
        if self.tokens != "auto":
            return TextEncoder(self.tokens)
        words = WordTokenizer().tokens
        step = max(1, len(texts) // TEXTS_LOOKED_AT)
        typical = float(np.median([len(words(text)) for text in texts[::step]]))
        return defaults.encoder(len(texts), typical, self.chinese)

    # ---- using

    def predict_proba(self, x: TextData | Iterable[str]) -> Array:
        """The probability of each class, (N, K), in the order of ``classes_``.

        Args:
            x: N texts.

        Raises:
            DataError: not a list of texts.
        """
        classifier = self._fitted()
        texts = _texts(x)
        result = np.zeros((len(texts), len(self.classes_)))
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            encoded = self.preparation_.encode(texts[start : start + TEXTS_AT_ONCE])
            for length, rows in self._buckets(encoded):
                result[start + rows] = classifier.predict_proba(encoded.ids[rows, :length])
        return result

    def network_inputs(self, x: TextData) -> Array:
        """The numbers of the tokens, (N, length)."""
        return self.preparation_.encode(x.texts).ids

    def _buckets(self, encoded: EncodedTexts) -> list[tuple[int, NDArray[np.int64]]]:
        """Rows to run together: of similar length where the network ignores padding."""
        length = encoded.ids.shape[1]
        if self.network_ == OWN:
            return [(length, np.arange(len(encoded.ids)))]
        return length_buckets(encoded.lengths, length)

    # ---- files

    def preparation_facts(self) -> dict[str, Any]:
        """How texts are prepared, as JSON values, without the tokens themselves."""
        facts = self.preparation_.to_config()
        tokenizer = {k: v for k, v in facts["tokenizer"].items() if not isinstance(v, list)}
        return {**facts, "tokenizer": tokenizer, "vocabulary": len(facts["vocabulary"])}

    def _about(self) -> dict[str, Any]:
        return {**super()._about(), "column": self.text_name_}

    @classmethod
    def from_parts(cls, about: object, classifier: Any, where: str) -> "TextClassifier":
        """Rebuild from the table "texts" of a file and the estimator beside it.

        Raises:
            FileFormatError: the parts are damaged or do not fit each other.
        """
        stored = StoredConfig(about, where, ("preparation", "network", "column"))
        network = stored.choice("network", (*defaults.NETWORKS, OWN))
        column = stored.raw("column")
        if column is not None and not (isinstance(column, str) and len(column) <= 4_096):
            raise stored.wrong("column", column, "a name")
        encoder = TextEncoder.from_config(stored.raw("preparation"), where)
        columns = getattr(classifier, "n_features_in_", None)
        if not isinstance(classifier, NetworkClassifier) or columns != encoder.length:
            raise FileFormatError(
                where, "the network does not take the texts", got=columns,
                expected=f"{encoder.length} tokens", fix="train and save again",
            )  # fmt: skip
        result = cls() if network == OWN else cls(network=network)
        classifier.takes_indices = True
        result.classifier_, result.network_, result.preparation_ = classifier, network, encoder
        result.truncated_, result.text_name_ = None, column
        try:
            most = np.full((2, encoder.length), len(encoder.vocabulary) - 1, np.int32)
            classifier.predict_proba(most)
        except Exception as error:  # classes of the caller may raise anything
            raise FileFormatError(
                where, "the network does not take the tokens", got=str(error)[:200],
                fix="train and save again",
            ) from error  # fmt: skip
        return result


def _texts(x: Any) -> list[str]:
    """A list of texts, of whatever holds them: a column, an array, a list."""
    if isinstance(x, TextData):
        return x.texts
    if isinstance(x, str) or not hasattr(x, "__iter__"):
        raise DataError(
            _WHERE, "these are no texts", got=repr(x)[:60], expected="a list of texts",
            fix="put the text into a list",
        )  # fmt: skip
    texts = list(x.tolist() if hasattr(x, "tolist") else x)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(
                _WHERE, "this is no text", got=f"{text!r:.60} in row {row}", expected="str"
            )
    if not texts:
        raise DataError(_WHERE, "there are no texts", got="none", expected="at least one")
    return texts


def _examples(x: Any, y: Any) -> tuple[list[str], Any]:
    """Texts and their classes."""
    if isinstance(x, TextData):
        if y is not None:
            raise DataError(_WHERE, "TextData brings its own classes", got="y", fix="leave y out")
        return x.texts, x.labels
    texts = _texts(x)
    if y is None or len(y) != len(texts):
        raise DataError(
            _WHERE, "not one class for each text", got="none" if y is None else len(y),
            expected=len(texts),
        )  # fmt: skip
    return texts, np.asarray(y)
