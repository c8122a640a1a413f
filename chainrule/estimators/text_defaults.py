"""The defaults for texts: tokens, network, length of the training, by number and length of texts.

The network is a bag of words, their runs and their pieces: as good as a recurrent one on sentences,
and trained in seconds. Most tokens are left out in each step, weights decay, and the rate falls to
nothing along half a cosine, so that no texts need be held out to know when to stop.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from chainrule.data.text_encoding import TextEncoder
from chainrule.data.tokenizers import GramTokenizer
from chainrule.errors import unknown_name
from chainrule.nn.initializers import RandomUniform
from chainrule.nn.layers import Dense, Dropout, EmbeddingBag, TokenDropout
from chainrule.optimizers.schedules import CosineDecay
from chainrule.training.model import Model
from chainrule.training.sequential import Sequential

#: The rate at the beginning, and the steps that a training should have.
RATE = 0.003
STEPS = 900
FEWEST_EPOCHS, MOST_EPOCHS = 4, 20
SMALLEST_BATCH, LARGEST_BATCH = 8, 64

WEIGHT_DECAY = 1.0
LABEL_SMOOTHING = 0.1
DROPOUT = 0.3
FIRST_VALUES = 0.05

#: The share of tokens left out of texts of so many tokens; of shorter ones, less.
TOKEN_DROPOUT, DROPPED_FROM = 0.6, 100

#: Up to so many texts, tokens that a single text has are kept: it may share them with new ones.
FEW = 5_000

MAX_VOCABULARY = 60_000


@dataclass(frozen=True)
class TokenRule:
    """What tokens are made of texts.

    Args:
        up_to_words, up_to_texts: for texts of so many words (the median) and so many texts.
        word_ngrams, shortest, longest: see `GramTokenizer`.
        max_length: tokens of a row.
    """

    up_to_words: float
    up_to_texts: float
    word_ngrams: int
    shortest: int
    longest: int
    max_length: int


#: THE table of tokens; the first row that fits is taken.
RULES = (
    TokenRule(100, 50_000, 3, 3, 6, 1_000),
    TokenRule(400, 10_000, 3, 3, 6, 2_000),
    TokenRule(float("inf"), float("inf"), 2, 3, 0, 1_000),
)


def encoder(texts: int, words: float, chinese: str = "characters") -> TextEncoder:
    """The encoder for so many texts with so many words (the median).

    >>> encoder(8_000, 20).tokenizer.longest, encoder(200_000, 500).tokenizer.longest
    (6, 0)
    """
    rule = next(r for r in RULES if words <= r.up_to_words and texts <= r.up_to_texts)
    tokenizer = GramTokenizer(rule.word_ngrams, rule.shortest, rule.longest, chinese=chinese)
    return TextEncoder(
        tokenizer, max_vocabulary=MAX_VOCABULARY, min_count=1 if texts <= FEW else 2,
        max_length=rule.max_length, once=True, keep_unknown=False,
    )  # fmt: skip


def bag(ids: int, tokens: float, classes: int, seed: int | None = None) -> Model:
    """A bag of tokens: the sum of their vectors over the root of their number, and a dense layer.

    Shapes: (N, length) int32 -> (N, classes) logits.

    Args:
        ids: how many different tokens there are, padding counted.
        tokens: how many a text has (the median).
        classes: the width of the output.
        seed: of the initial weights and of what is left out; default None.

    >>> bag(50, 200, 3)(np.ones((2, 8), np.int32)).shape
    (2, 3)

    Reference: Joulin et al., "Bag of tricks for efficient text classification", 2017.
    """
    width = min(64, max(16, 8 * classes))
    values = RandomUniform(-FIRST_VALUES, FIRST_VALUES)
    network = Sequential(
        [
            TokenDropout(token_dropout(tokens)),
            EmbeddingBag(ids, width, "sqrt_n", embeddings_initializer=values),
            Dropout(DROPOUT),
            Dense(classes),
        ]
    )
    if seed is not None:
        network.seed_if_new(seed)
    return network


NETWORKS: dict[str, Callable[..., Model]] = {"bag": bag}


def network_of(name: str) -> Callable[..., Model]:
    """The function that makes the network of this name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in NETWORKS:
        raise unknown_name("TextClassifier", "network", name, NETWORKS)
    return NETWORKS[name]


def token_dropout(tokens: float) -> float:
    """The share of tokens to leave out of texts of so many.

    >>> token_dropout(250), token_dropout(10)
    (0.6, 0.06)
    """
    return round(TOKEN_DROPOUT * min(1.0, tokens / DROPPED_FROM), 4)


def batch_size(count: int) -> int:
    """At least 16 steps an epoch, a power of two within bounds.

    >>> batch_size(100), batch_size(8_000)
    (8, 64)
    """
    power = 1 << max(0, (count // 16).bit_length() - 1)
    return min(LARGEST_BATCH, max(SMALLEST_BATCH, power))


def epochs(count: int, batch: int) -> int:
    """As many epochs as make `STEPS` steps, within bounds.

    >>> epochs(100, 8), epochs(8_000, 64), epochs(100_000, 64)
    (20, 7, 4)
    """
    steps = -(-count // batch)
    return min(MOST_EPOCHS, max(FEWEST_EPOCHS, round(STEPS / steps)))


def others(steps: int, epochs: int, given: Collection[str]) -> dict[str, Any]:
    """Other settings, by the steps of an epoch, the epochs, and what the user has set."""
    chosen: dict[str, Any] = {"early_stopping": False, "label_smoothing": LABEL_SMOOTHING}
    if "until" in given or "patience" in given or "validation_fraction" in given:
        del chosen["early_stopping"]
    if "until" in given:
        del chosen["label_smoothing"]  # a goal for the loss is one for the plain loss
    if "optimizer" not in given:
        chosen |= {"learning_rate": CosineDecay(RATE, steps * epochs), "weight_decay": WEIGHT_DECAY}
    return chosen
