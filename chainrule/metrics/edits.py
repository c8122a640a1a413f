"""Edit distance, and the error rates of recognised texts that are made of it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.decoding import FILL, ctc_greedy, to_the_front
from chainrule.errors import ArgumentError, ShapeError
from chainrule.losses.inputs import TensorLike
from chainrule.metrics.base import Metric, batch_weights
from chainrule.tensor import Tensor, functions
from chainrule.tensor.scan import scan
from chainrule.tensor.tensor import as_tensor

_FAR = 1 << 29


def edit_distance(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """The fewest insertions, deletions and replacements that turn each row into the other.

    Formula: ``d[i, j] = min(d[i-1, j] + 1, d[i, j-1] + 1, d[i-1, j-1] + [a_i != b_j])``.

    Shapes: y_true ``(N, L)``, y_pred ``(N, M)``; result ``(N,)``, int32.

    Args:
        y_true: rows of labels; a row ends before its first negative number.
        y_pred: other rows of labels, likewise.

    Returns:
        The distance of each row.

    Raises:
        ShapeError: not two batches of rows.

    Example:
        >>> cr.metrics.edit_distance([[1, 2, 3, -1]], [[1, 3, 3, 4]]).tolist()
        [2]

    Reference: Levenshtein, "Binary codes capable of correcting deletions, insertions, and
    reversals", 1966.
    """
    a, b = as_tensor(y_true), as_tensor(y_pred)
    if a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[0]:
        raise ShapeError(
            "edit_distance", "not two batches of rows", got=f"{a.shape} and {b.shape}",
            expected="(N, L) and (N, M)", fix="fill short rows up with -1",
        )  # fmt: skip
    size_a, size_b = row_lengths(a), row_lengths(b)
    rows, first, second = a.shape[0], a.shape[1], b.shape[1]
    if first + second == 0:
        return functions.zeros((rows,), "int32")
    # By diagonals: all pairs (i, k - i) of one k at a time.
    steps = np.arange(1, first + second + 1)[:, None]
    partners = np.clip(steps - np.arange(1, first + 1) - 1, 0, max(second - 1, 0))
    if first and second:
        others = functions.transpose(functions.take(b, partners.astype("int32"), 1), (1, 0, 2))
        differ = functions.not_equal(others, functions.expand_dims(a, 0)).astype("int32")
    else:
        differ = functions.ones((len(steps), rows, first), "int32")
    column = functions.arange(first + 1, dtype="int32")
    own = functions.equal(column, functions.expand_dims(size_a, 1))
    far = functions.full((rows, 1), _FAR, "int32")

    def step(carry: Any, entry: Any) -> Any:
        older, old, found = carry
        k, cost = entry
        replaced = functions.concatenate([far, older[:, :first] + cost], 1)
        deleted = functions.concatenate([far, old[:, :first] + 1], 1)
        new = functions.minimum(functions.minimum(old + 1, deleted), replaced)
        here = functions.sum(functions.where(own, new, 0), 1)
        return (old, new, functions.where(functions.equal(k, size_a + size_b), here, found)), None

    nowhere = functions.full((rows, first + 1), _FAR, "int32")
    start = functions.broadcast_to(functions.where(functions.equal(column, 0), 0, _FAR), own.shape)
    zero = functions.zeros((rows,), "int32")
    counts = functions.arange(1, len(steps) + 1, dtype="int32")
    (_, _, found), _ = scan(step, (nowhere, start.astype("int32"), zero), (counts, differ))
    return as_tensor(found)


def row_lengths(labels: Tensor) -> Tensor:
    """How many labels stand before the first negative one: (N, L) to (N,), int32."""
    ended = functions.cumsum(functions.less(labels, 0).astype("int32"), 1)
    return functions.sum(functions.equal(ended, 0).astype("int32"), 1)


class _ErrorRate(Metric):
    """Edits over true length, all rows together."""

    direction = "min"

    def __init__(self, blank: int = 0, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.blank = blank
        self._edits = self.add_variable("edits", ())
        self._length = self.add_variable("length", ())

    def parts(self, text: str) -> Sequence[str]:
        """What is compared in a text."""
        raise NotImplementedError

    def units(self, labels: Tensor) -> Tensor:
        """What is compared in rows of labels, filled up with -1."""
        return labels

    def update(
        self,
        y_true: TensorLike | Sequence[str],
        y_pred: TensorLike | Sequence[str],
        sample_weight: TensorLike | None = None,
        *,
        label_lengths: TensorLike | None = None,
        logit_lengths: TensorLike | None = None,
    ) -> None:
        """Add a batch.

        Args:
            y_true: texts, or labels ``(N, L)``, each row up to its first negative number.
            y_pred: texts, labels, or the outputs ``(N, T, C)`` that CTC is trained on.
            sample_weight: how much each row counts; default 1.
            label_lengths: how many labels each true row has; default as above.
            logit_lengths: how many frames each row of outputs has; default all.
        """
        texts = [_texts(y_true), _texts(y_pred)]
        if None not in texts:
            true, found = _numbered([[self.parts(text) for text in x or ()] for x in texts])
        else:
            true, found = as_tensor(y_true), as_tensor(y_pred)
            if true.ndim != 2:
                raise ShapeError(
                    self.name, "wrong target shape", got=true.shape, expected="(batch, labels)"
                )
            if label_lengths is not None:
                places = functions.arange(true.shape[1], dtype="int32")
                counts = functions.expand_dims(as_tensor(label_lengths), 1)
                true = functions.where(places < counts, true, FILL)
            if found.ndim == 3:
                found = ctc_greedy(found, logit_lengths, blank=self.blank)
            true, found = (self.units(x.astype("int32")) for x in (true, found))
        edits = edit_distance(true, found).astype("float64")
        lengths = row_lengths(true).astype("float64")
        weights = batch_weights(sample_weight, edits.shape, self.name)
        self._edits.assign_add(functions.sum(weights * edits))
        self._length.assign_add(functions.sum(weights * lengths))

    def result(self) -> float:
        """Edits over true length; more than 1 where too much was found."""
        length = float(self._length)
        return float(self._edits) / length if length else float("nan")


class CharacterErrorRate(_ErrorRate):
    """How many characters are wrong, missing or too many, for each that there should be.

    Formula: ``sum edit_distance(true, found) / sum length(true)`` over all rows of the epoch.

    Shapes: y_true labels ``(N, L)`` or N texts; y_pred labels ``(N, M)``, texts, or the outputs
    ``(N, T, C)`` that CTC is trained on, which are decoded greedily.

    Args:
        blank: the class of the outputs that stands for no label; default 0.
        name: the name in histories; default ``"character_error_rate"``.

    Example:
        >>> cr.metrics.CharacterErrorRate().compute(["kitten"], ["sitting"])
        0.5
        >>> cr.metrics.CharacterErrorRate().compute([[1, 2, -1]], [[1, 3, 3]])
        1.0

    Differences: means of rates of rows (some other programs) weigh short texts more.
    """

    default_name = "character_error_rate"

    def parts(self, text: str) -> Sequence[str]:
        """Its characters."""
        return text


class WordErrorRate(_ErrorRate):
    """How many words are wrong, missing or too many, for each that there should be.

    Formula: ``sum edit_distance(true, found) / sum length(true)`` over all rows of the epoch, in
    words.

    Shapes: as in ``CharacterErrorRate``.

    Args:
        space: the label between two words; default None: each label is a word.
        blank: the class of the outputs that stands for no label; default 0.
        name: the name in histories; default ``"word_error_rate"``.

    Example:
        >>> cr.metrics.WordErrorRate().compute(["the cat sat", "on"], ["the cat", "on"])
        0.25
        >>> cr.metrics.WordErrorRate(space=9).compute([[1, 2, 9, 3]], [[1, 2, 9, 4]])
        0.5
    """

    default_name = "word_error_rate"

    def __init__(
        self, space: int | None = None, blank: int = 0, *, name: str | None = None
    ) -> None:
        super().__init__(blank, name=name)
        self.space = space

    def parts(self, text: str) -> Sequence[str]:
        """Its words."""
        return text.split()

    def units(self, labels: Tensor) -> Tensor:
        """A number for each word: equal words have equal numbers, different ones hardly ever."""
        if self.space is None:
            return labels
        counted = functions.arange(labels.shape[1], dtype="int32") < functions.expand_dims(
            row_lengths(labels), 1
        )
        letters = functions.logical_and(counted, functions.not_equal(labels, self.space))

        def step(carry: Tensor, entry: Any) -> Any:
            label, inside = entry
            mixed = carry * 1_000_003 + label.astype("int64") + 1
            carry = functions.where(inside, mixed, 0)
            return carry, carry

        by_time = tuple(functions.transpose(x, (1, 0)) for x in (labels, letters))
        _, hashes = scan(step, functions.zeros((labels.shape[0],), "int64"), by_time)
        hashes = functions.bitwise_and(functions.transpose(hashes, (1, 0)), (1 << 62) - 1)
        after = functions.pad(letters[:, 1:], ((0, 0), (0, 1)))
        return to_the_front(hashes, functions.logical_and(letters, functions.logical_not(after)))


def _texts(values: Any) -> list[str] | None:
    """A list of texts, or None where the values are something else."""
    good = isinstance(values, (list, tuple)) and all(isinstance(x, str) for x in values)
    return list(values) if good else None


def _numbered(texts: Sequence[Sequence[Sequence[str]]]) -> tuple[Tensor, Tensor]:
    """True and found parts as numbers, filled up with -1."""
    true, found = texts
    if len(true) != len(found):
        raise ArgumentError(
            "metrics", "another number of texts", got=len(found), expected=f"{len(true)}"
        )
    number = {
        part: i for i, part in enumerate(sorted({p for x in texts for row in x for p in row}))
    }

    def filled(rows: Sequence[Sequence[str]]) -> Tensor:
        result: NDArray[np.int32] = np.full((len(rows), max(map(len, rows), default=0)), FILL, "i4")
        for row, parts in zip(result, rows, strict=True):
            row[: len(parts)] = [number[part] for part in parts]
        return as_tensor(result)

    return filled(true), filled(found)
