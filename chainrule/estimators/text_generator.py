"""TextGenerator: a recurrent network that learns to go on with a text, and writes."""

from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from chainrule.data import windows
from chainrule.data.checks import StoredConfig
from chainrule.data.text_stream import TextStream
from chainrule.data.tokenizers import Tokenizer
from chainrule.data.vocabulary import FIRST
from chainrule.errors import ArgumentError, DataError, FileFormatError
from chainrule.estimators.base import not_fitted_error
from chainrule.estimators.network import seed_of
from chainrule.formats import write_model_file
from chainrule.nn.layers import LSTM, Dense, Dropout, Embedding
from chainrule.optimizers import AdamW
from chainrule.optimizers.schedules import CosineDecay
from chainrule.tensor import jit
from chainrule.training.history import History
from chainrule.training.progress import Verbose
from chainrule.training.saving import model_to_parts, parts_to_model
from chainrule.training.sequential import Sequential

Array = NDArray[Any]

WEIGHT_DECAY = 0.01
CLIP = 1.0

#: A training should see so many tokens, within bounds of epochs.
TOKENS = 4_000_000
FEWEST_EPOCHS, MOST_EPOCHS = 2, 40

#: Steps that `bits_per_character` runs together.
STEPS_AT_ONCE = 256
MAX_LENGTH = 100_000

_WHERE = "TextGenerator"


class TextGenerator:
    """A network that guesses the next token of a text, and so can write one.

    p(next | all before) = softmax(W dropout(LSTM(embedding(tokens))) + b)

    It learns by truncated backpropagation through time: the text is cut into ``batch_size`` streams
    and these into windows; the state goes on from window to window, gradients flow through one.

    Args:
        tokens: "characters" (default) or "byte pairs" (the package tokenizers), or such a
            tokenizer.
        units: of the LSTM; default 448.
        embedding: length of a token's vector; default 96.
        length: steps of a window; default 32.
        batch_size: streams side by side; default 32, fewer for a short text.
        epochs: passes over the text; default "auto": by its length.
        learning_rate: at the beginning; falls along half a cosine; default 0.003.
        dropout: the share of the LSTM's inputs and outputs left out in a step; default 0.2.
        random_state: a whole number makes the fit repeatable; default None.
        verbose: as in `Model.fit`; default 0.

    Attributes:
        model_: the trained network, (N, time) int32 -> (N, time, tokens) logits.
        stream_: what turns text into numbers.
        history_: what happened in training; None after loading.
        n_iter_: epochs that were trained.

    Example:
        >>> from chainrule.estimators import TextGenerator
        >>> generator = TextGenerator(units=32, epochs=40, length=8, random_state=0)
        >>> generator = generator.fit("abcd" * 200)
        >>> generator.generate("abc", length=6, temperature=0, seed=0)
        'dabcda'

    Reference: Sutskever, Martens, Hinton, "Generating text with recurrent neural networks", 2011.
    """

    model_: Sequential
    stream_: TextStream
    history_: History | None
    n_iter_: int

    def __init__(
        self,
        tokens: str | Tokenizer = "characters",
        *,
        units: int = 448,
        embedding: int = 96,
        length: int = 32,
        batch_size: int = 32,
        epochs: int | str = "auto",
        learning_rate: float = 0.003,
        dropout: float = 0.2,
        random_state: Any = None,
        verbose: Verbose = 0,
    ) -> None:
        TextStream(tokens)  # refuses another kind at once
        sizes = {"units": units, "embedding": embedding, "length": length, "batch_size": batch_size}
        if epochs != "auto":
            sizes["epochs"] = epochs  # type: ignore[assignment]
        for name, value in sizes.items():
            if type(value) is not int or value < 1:
                raise ArgumentError(
                    _WHERE, f"wrong {name}", got=repr(value), expected="a whole number from 1 up"
                )
        self.tokens = tokens
        self.units, self.embedding, self.length = units, embedding, length
        self.batch_size, self.epochs, self.learning_rate = batch_size, epochs, learning_rate
        self.dropout, self.random_state, self.verbose = dropout, random_state, verbose

    # ---- learning

    def fit(self, text: str) -> Self:
        """Learn from a text, forgetting what was learnt before.

        Raises:
            DataError: the text is shorter than a window.
        """
        stream = TextStream(self.tokens).fit(text)
        ids = stream.ids(text)
        rows = min(self.batch_size, (len(ids) - 1) // self.length)
        if rows < 1:
            raise DataError(
                _WHERE, "the text is too short", got=f"{len(ids):,} tokens",
                expected=f"more than {self.length}", fix="give more text, or a smaller length",
            )  # fmt: skip
        x, y = windows(ids[:-1], self.length, rows), windows(ids[1:], self.length, rows)
        epochs = self.epochs
        if not isinstance(epochs, int):
            epochs = min(MOST_EPOCHS, max(FEWEST_EPOCHS, round(TOKENS / len(ids))))
        seed, size = seed_of(self.random_state), len(stream.vocabulary)
        learner = self._network(size, rows)
        learner.seed_if_new(seed)
        rate = CosineDecay(self.learning_rate, epochs * (len(x) // rows))
        history = learner.fit(
            x, y, loss="cross_entropy", epochs=epochs, batch_size=rows, shuffle=False, seed=seed,
            optimizer=AdamW(rate, weight_decay=WEIGHT_DECAY, global_clip_norm=CLIP),
            verbose=self.verbose,
        )  # fmt: skip
        self.model_ = self._network(size, None)
        self.model_(x[:1, :1])
        learnt = [variable.numpy() for variable in learner.trainable_variables]
        for variable, value in zip(self.model_.trainable_variables, learnt, strict=True):
            variable.assign(value)
        self.stream_, self.history_, self.n_iter_ = stream, history, history.epochs
        return self

    def _network(self, size: int, rows: int | None) -> Sequential:
        """The network; one that keeps its state between batches if ``rows`` says of how many."""
        recurrent = LSTM(
            self.units, return_sequences=True, stateful=rows is not None, batch_size=rows,
            dropout=self.dropout,
        )  # fmt: skip
        embedding = Embedding(size, self.embedding)
        return Sequential([embedding, recurrent, Dropout(self.dropout), Dense(size)])

    # ---- using

    def bits_per_character(self, text: str) -> float:
        """How many bits the network needs for a character of a text: -log2 p, on average.

        A token that it does not know counts as the one number for all of these.

        Raises:
            DataError: the text has fewer than 2 tokens.
        """
        self._fitted()
        ids = self.stream_.ids(text)
        if len(ids) < 2:
            raise DataError(_WHERE, "the text is too short", got=f"{len(ids)} tokens", expected="2")
        advance, state, nats = self._stepper(), None, 0.0
        for start in range(0, len(ids) - 1, STEPS_AT_ONCE):
            piece = ids[start : start + STEPS_AT_ONCE + 1]
            logits, state = advance(piece[None, :-1], state)
            nats -= float(_log_softmax(logits[0])[np.arange(len(piece) - 1), piece[1:]].sum())
        first = len(self.stream_.text(ids[:1])) or 1
        return float(nats / np.log(2) / max(1, len(text) - first))

    def network_examples(self, text: str) -> tuple[Array, Array]:
        """A text in pieces of ``length`` tokens, and the token after each of them, (N, length).

        Raises:
            DataError: the text is shorter than one.
        """
        self._fitted()
        ids = self.stream_.ids(text)
        count = (len(ids) - 1) // self.length
        if count < 1:
            raise DataError(
                _WHERE, "the text is too short", got=f"{len(ids):,} tokens",
                expected=f"more than {self.length}", fix="give more text",
            )  # fmt: skip
        end = count * self.length
        return ids[:end].reshape(count, -1), ids[1 : end + 1].reshape(count, -1)

    def generate(
        self, prompt: str = "", *, length: int = 500, temperature: float = 0.8, seed: int = 0
    ) -> str:
        """Write on from a prompt.

        Tokens are drawn from softmax(logits / temperature).

        Args:
            prompt: what to go on from; default "": as at the beginning of a line.
            length: how many tokens to write; default 500.
            temperature: 0 takes the most probable token, 1 draws as the network says; default 0.8.
            seed: the same seed writes the same text; default 0.

        Returns:
            What was written, without the prompt.

        Raises:
            ArgumentError: a length or temperature out of range.
        """
        self._fitted()
        if type(length) is not int or not 1 <= length <= MAX_LENGTH:
            raise ArgumentError(
                _WHERE, "wrong length", got=repr(length),
                expected=f"a whole number from 1 to {MAX_LENGTH:,}",
            )  # fmt: skip
        if not 0 <= temperature <= 100:
            raise ArgumentError(
                _WHERE, "wrong temperature", got=temperature, expected="a number from 0 to 100"
            )
        random, advance, state = np.random.default_rng(seed), self._stepper(), None
        given = self.stream_.ids(prompt or "\n").tolist()
        written: list[int] = []
        for number in given:
            logits, state = advance(np.array([[number]], np.int32), state)
        for _ in range(length):
            written.append(_drawn(logits[0, -1, FIRST:], temperature, random) + FIRST)
            logits, state = advance(np.array([[written[-1]]], np.int32), state)
        return self.stream_.text(written)

    def _stepper(self) -> Callable[[Array, Any], tuple[Array, Any]]:
        """A function of tokens (1, time) and the state before, which gives logits and the state."""
        embedding, recurrent, _, dense = self.model_.layers
        config = {**recurrent.get_config(), "return_state": True, "name": "writer"}
        writer = LSTM.from_config(config)
        first = writer(embedding(np.zeros((1, 1), np.int32)))[1]
        for variable, other in zip(writer.variables, recurrent.variables, strict=True):
            variable.assign(other.numpy())

        @jit
        def advance(ids: Any, state: Any) -> Any:
            outputs, state = writer(embedding(ids), initial_state=state)
            return dense(outputs), state

        nothing = tuple(part * 0 for part in first)

        def step(ids: Array, state: Any) -> tuple[Array, Any]:
            logits, state = advance(ids, nothing if state is None else state)
            return logits.numpy(), state

        return step

    def _fitted(self) -> None:
        if not hasattr(self, "model_"):
            raise not_fitted_error(_WHERE)

    # ---- files

    def save(self, path: str | PathLike[str]) -> None:
        """Write the network and its tokens to one file; `chainrule.estimators.load` reads it.

        Raises:
            NotFittedError: there is nothing to save.
            FileAccessError: the file cannot be written.
        """
        self._fitted()
        architecture, weights = model_to_parts(self.model_)
        about = {"version": 1, "stream": self.stream_.to_config(), "epochs": self.n_iter_}
        write_model_file(path, {"architecture": architecture, "writer": about}, weights)

    @classmethod
    def from_parts(
        cls, metadata: Mapping[str, Any], arrays: dict[str, Array], where: str
    ) -> "TextGenerator":
        """Rebuild from what a file holds; nothing is assumed about it.

        Raises:
            FileFormatError, UnknownNameError: see `load`.
        """
        stored = StoredConfig(metadata["writer"], where, ("version", "stream", "epochs"))
        stored.integer("version", 1, 1)
        if metadata.keys() != {"architecture", "writer"}:
            raise stored.wrong("file", sorted(metadata), "'architecture', 'writer'")
        result = cls()
        result.stream_ = TextStream.from_config(stored.raw("stream"), where)
        result.n_iter_, result.history_ = stored.integer("epochs", 0, 2**53), None
        model = parts_to_model(metadata["architecture"], arrays, None, where=where)
        layers = getattr(model, "layers", [])
        kinds = [type(layer) for layer in layers]
        size = len(result.stream_.vocabulary)
        good = isinstance(model, Sequential) and kinds == [Embedding, LSTM, Dropout, Dense]
        if not good or (layers[0].input_dim, layers[3].units) != (size, size):
            raise FileFormatError(
                where, "the network does not fit the tokens", got=[kind.__name__ for kind in kinds],
                expected=f"an Embedding, an LSTM, Dropout and Dense for {size} tokens",
                fix="train and save again",
            )  # fmt: skip
        assert isinstance(model, Sequential)
        result.model_ = model
        try:
            result._stepper()(np.zeros((1, 1), np.int32), None)
        except Exception as error:
            raise FileFormatError(
                where, "the network does not go on from step to step", got=str(error)[:200],
                fix="train and save again",
            ) from error  # fmt: skip
        return result


def _log_softmax(logits: Array) -> Array:
    scaled = logits.astype(np.float64)
    scaled -= scaled.max(axis=-1, keepdims=True)
    return np.asarray(scaled - np.log(np.exp(scaled).sum(axis=-1, keepdims=True)))


def _drawn(logits: Array, temperature: float, random: np.random.Generator) -> int:
    """The place of a token."""
    if temperature == 0:
        return int(logits.argmax())
    scaled = logits.astype(np.float64)
    powers = np.exp((scaled - scaled.max()) / temperature)
    sums = np.cumsum(powers)
    return int(np.searchsorted(sums, random.random() * sums[-1], side="right"))
