"""From a network's outputs at each frame to the labels they stand for (CTC)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import ArgumentError, ShapeError
from chainrule.tensor import Tensor, functions
from chainrule.tensor.tensor import as_tensor

FILL = -1
"""What stands behind the labels of a row that has fewer than others."""

LanguageModel = Callable[[tuple[int, ...], int], float]


class Hypothesis(NamedTuple):
    """Labels and the logarithm of their probability, all alignments that were followed summed."""

    labels: tuple[int, ...]
    log_probability: float


def ctc_greedy(predictions: Any, lengths: Any = None, *, blank: int = 0) -> Tensor:
    """The labels of the most probable class of each frame.

    Of equal classes side by side one is kept, then blanks are left out. That is the best single
    alignment, not always the best labels: `ctc_beam_search` sums over alignments.

    Shapes: predictions (N, T, C), lengths (N,), result (N, T), int32.

    Args:
        predictions: logits, probabilities or their logarithms.
        lengths: how many frames each row has. Default None: all.
        blank: the class that stands for no label; negative from the end. Default 0.

    Returns:
        The labels of each row, filled up with -1.

    Raises:
        ShapeError: predictions or lengths of another rank.
        ArgumentError: ``blank`` out of range.

    Example:
        >>> import chainrule as cr
        >>> frames = cr.one_hot([[1, 1, 0, 1, 2, 2]], 3)
        >>> cr.decoding.ctc_greedy(frames).tolist()
        [[1, 1, 2, -1, -1, -1]]

    Different from TensorFlow: a dense array, batch first, blank 0. It runs inside ``jit``.
    Reference: Graves et al., "Connectionist temporal classification", 2006, section 3.2.
    """
    scores, limits = _checked(predictions, lengths)
    rows, time, classes = scores.shape
    best = functions.argmax(scores, axis=-1).astype("int32")
    before = functions.concatenate([functions.full((rows, 1), FILL, "int32"), best[:, :-1]], 1)
    kept = functions.logical_and(
        functions.not_equal(best, before), functions.not_equal(best, _blank(blank, classes))
    )
    if limits is not None:
        there = functions.arange(time, dtype="int32") < functions.expand_dims(limits, 1)
        kept = functions.logical_and(kept, there)
    return to_the_front(best, kept)


def to_the_front(labels: Tensor, kept: Tensor) -> Tensor:
    """The kept labels of each row in their order, filled up with -1: (N, T) to (N, T)."""
    time = labels.shape[1]
    places = functions.arange(time, dtype="int32")
    order = functions.argsort(functions.where(kept, places, places + time), axis=1)
    count = functions.sum(kept.astype("int32"), 1, keepdims=True)
    return functions.where(
        places < count, functions.take_along_axis(labels, order.astype("int32"), 1), FILL
    )


def ctc_beam_search(
    predictions: Any,
    lengths: Any = None,
    *,
    blank: int = 0,
    beam_width: int = 16,
    from_logits: bool = True,
    language_model: LanguageModel | None = None,
) -> list[list[Hypothesis]]:
    """The most probable labels, each with the probability of all its alignments.

    From frame to frame the ``beam_width`` best beginnings are kept, each with the probability of
    ending in a blank and of ending in its last label. With a beam wider than the number of
    beginnings the result is exact.

    Shapes: predictions (N, T, C), lengths (N,).

    Args:
        predictions: logits.
        lengths: how many frames each row has. Default None: all.
        blank: the class that stands for no label; negative from the end. Default 0.
        beam_width: how many beginnings are kept. Default 16.
        from_logits: False for probabilities. Default True.
        language_model: from the labels so far and a further one to a logarithm that is added when
            it is appended. Default None.

    Returns:
        For each row up to ``beam_width`` hypotheses, the best first.

    Raises:
        ShapeError: predictions or lengths of another rank.
        ArgumentError: ``blank`` out of range, or no beam.

    Example:
        >>> import chainrule as cr
        >>> p = [[[0.6, 0.4], [0.6, 0.4]]]
        >>> best, other = cr.decoding.ctc_beam_search(p, from_logits=False)[0]
        >>> best.labels, other.labels  # greedy: (), by the single alignment of two blanks
        ((1,), ())

    Reference: Hannun, Maas, Jurafsky and Ng, "First-pass large vocabulary continuous speech
    recognition using bi-directional recurrent DNNs", 2014, algorithm 1.
    """
    scores, limits = _checked(predictions, lengths)
    if beam_width < 1:
        raise ArgumentError("decoding", "no beam", got=beam_width, expected="1 or more")
    blank = _blank(blank, scores.shape[2])
    values = np.asarray(scores, np.float64)
    with np.errstate(divide="ignore"):
        log_p = _log_softmax(values) if from_logits else np.log(values)
    ends = [values.shape[1]] * len(values) if limits is None else np.asarray(limits).tolist()
    return [
        _search(frames[:end], blank, beam_width, language_model)
        for frames, end in zip(log_p, ends, strict=True)
    ]


def _log_softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = values - values.max(-1, keepdims=True)
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return result


def _search(
    log_p: NDArray[np.float64], blank: int, width: int, model: LanguageModel | None
) -> list[Hypothesis]:
    prefixes: list[tuple[int, ...]] = [()]
    in_blank, in_label = np.zeros(1), np.full(1, -np.inf)
    labels = np.array([c for c in range(log_p.shape[1]) if c != blank])
    for frame in log_p:
        whole = np.logaddexp(in_blank, in_label)
        last = np.array([prefix[-1] if prefix else blank for prefix in prefixes])
        stays_in_blank = whole + frame[blank]
        stays_in_label = in_label + frame[last]  # of the empty one: minus infinity
        # A label that repeats the last one is a new one only after a blank.
        repeats = labels == last[:, None]
        longer = np.where(repeats, in_blank[:, None], whole[:, None]) + frame[labels]
        if model is not None:
            longer += [[model(prefix, int(c)) for c in labels] for prefix in prefixes]
        place = {prefix: i for i, prefix in enumerate(prefixes)}
        for i, prefix in enumerate(prefixes):
            parent = place.get(prefix[:-1]) if prefix else None
            if parent is not None:
                column = int(np.searchsorted(labels, prefix[-1]))
                stays_in_label[i] = np.logaddexp(stays_in_label[i], longer[parent, column])
                longer[parent, column] = -np.inf
        ranked = np.concatenate([np.logaddexp(stays_in_blank, stays_in_label), longer.ravel()])
        best = np.argsort(-ranked, kind="stable")[:width]
        best = best[ranked[best] > -np.inf]
        stays, count = best < len(prefixes), len(prefixes)
        rows, columns = np.divmod(best - count, len(labels))
        chosen = np.where(stays, best, 0)
        in_blank = np.where(stays, stays_in_blank[chosen], -np.inf)
        in_label = np.where(stays, stays_in_label[chosen], ranked[best])
        prefixes = [
            prefixes[i] if stay else (*prefixes[row], int(labels[column]))
            for i, stay, row, column in zip(best, stays, rows, columns, strict=True)
        ]
    order = np.argsort(-np.logaddexp(in_blank, in_label), kind="stable")
    totals = np.logaddexp(in_blank, in_label)
    return [Hypothesis(prefixes[i], float(totals[i])) for i in order]


def _checked(predictions: Any, lengths: Any) -> tuple[Tensor, Tensor | None]:
    scores = as_tensor(predictions)
    if scores.ndim != 3 or scores.shape[1] < 1 or scores.shape[2] < 2:
        raise ShapeError(
            "decoding", "wrong shape of the predictions", got=scores.shape,
            expected="(batch, frames, classes) with at least 1 frame and 2 classes",
            fix="pass one sequence as predictions[None]",
        )  # fmt: skip
    limits = None if lengths is None else as_tensor(lengths).astype("int32")
    if limits is not None and limits.shape != scores.shape[:1]:
        raise ShapeError(
            "decoding", "wrong shape of the lengths", got=limits.shape, expected=scores.shape[:1]
        )
    return scores, limits


def _blank(blank: int, classes: int) -> int:
    if not -classes <= blank < classes:
        raise ArgumentError(
            "decoding", "blank out of range", got=blank, expected=f"{-classes} to {classes - 1}"
        )
    return blank % classes
