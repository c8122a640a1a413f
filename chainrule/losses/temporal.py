"""CTC: the loss of a sequence of labels whose places in time are not known."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import ArgumentError, DataError, ShapeError
from chainrule.losses.entropies import ProbabilityLoss
from chainrule.losses.folding import scores
from chainrule.losses.inputs import TensorLike, concrete_values, require
from chainrule.losses.reduction import weighted_mean
from chainrule.tensor import Tensor, functions
from chainrule.tensor.layout import checked_indices
from chainrule.tensor.scan import scan
from chainrule.tensor.tensor import as_tensor

# Stands for log 0: finite, so that differences of two are numbers, and so far below any sum of
# logarithms that adding one changes nothing.
_NEVER = -1e30


def ctc(
    y_true: TensorLike,
    y_pred: TensorLike,
    *,
    from_logits: bool | None = None,
    label_lengths: TensorLike | None = None,
    logit_lengths: TensorLike | None = None,
    blank: int = 0,
    zero_infinity: bool = False,
) -> Tensor:
    """Connectionist temporal classification: the labels in their order, at any times.

    Formula: ``-log sum_a prod_t p[t, a_t]`` for each sequence, ``p = softmax(y_pred)``, over all
    alignments ``a``: rows of one class a frame that give the labels when of equal classes side by
    side one is kept and blanks are left out.

    Shapes: y_pred ``(N, T, C)``; y_true ``(N, L)`` with labels from 0 to C-1 except ``blank``;
    lengths ``(N,)``; result ``(N,)``.

    Args:
        y_true: the labels. What comes after a row's length does not count.
        y_pred: logits, or the output of softmax or log_softmax, which is folded in.
        from_logits: None (default) as above; False for probabilities without known origin; True
            insists on logits.
        label_lengths: how many labels each row has; default: those before the first negative one.
        logit_lengths: how many frames each row has; default all. What stands in the others, even
            NaN, changes no bit of the loss, and their gradient is 0.
        blank: the class that stands for no label; negative from the end. Default 0.
        zero_infinity: what to do with labels that no alignment gives, because there are fewer
            frames than labels and repetitions side by side. False (default): an error where the
            numbers are known; while tracing, the loss of the row is infinite. True: the loss is 0.
            The gradient of such a row is 0 in both.

    Returns:
        The loss of each row.

    Raises:
        ShapeError: shapes that are not as above.
        DataError: a label out of range or equal to ``blank``, a length out of range, or more labels
            than the frames have room for; each named with its row.
        ArgumentError: ``blank`` out of range, or an array that looks like probabilities while
            ``from_logits`` is None.

    Example:
        >>> p = np.array([[[0.6, 0.4], [0.7, 0.3]]])
        >>> loss = cr.losses.ctc([[1]], p, from_logits=False)
        >>> round(float(np.exp(-loss.item())), 4)  # 11, 1-, -1: 0.12 + 0.28 + 0.18
        0.58

    Differences: batch first (PyTorch, TensorFlow: time first by default). ``blank=0`` as in
    PyTorch, ``tf.nn.ctc_loss`` and optax; ``keras.backend.ctc_batch_cost`` and TensorFlow 1 take
    the last class, here ``blank=-1``. PyTorch's ``reduction="mean"`` also divides each row's loss
    by its number of labels. PyTorch gives infinity for impossible labels, with a NaN gradient.
    Reference: Graves, Fernández, Gomez and Schmidhuber, "Connectionist temporal classification",
    2006, equations 6 to 8.
    """
    values, are_logits = scores(y_pred, "softmax", from_logits, "ctc")
    target = _labels(y_true, values.shape)
    rows, time, classes = values.shape
    blank = _blank(blank, classes)
    limits = target.shape[1], time
    labels, frames = (
        None if lengths is None else _lengths(lengths, rows, limit, name)
        for lengths, limit, name in zip(
            (label_lengths, logit_lengths), limits, ("label_lengths", "logit_lengths"), strict=True
        )
    )
    if labels is None:
        labels = functions.sum(_leading(functions.greater_equal(target, 0)).astype("int32"), 1)
    _require_labels(target, labels, classes, blank)
    if not zero_infinity:
        _require_room(target, labels, frames, time)
    if frames is not None:
        there = functions.expand_dims(_before(frames, time), -1)
        values = functions.where(there, values, 0)
    log_p = _log_probabilities(values, are_logits)
    loss = _negative_log_likelihood(log_p, target, labels, frames, blank)
    impossible = functions.greater(loss, -_NEVER / 2)
    # The gradient flows through one branch only.
    return functions.where(impossible, 0.0 if zero_infinity else float("inf"), loss)


def _log_probabilities(values: Tensor, are_logits: bool) -> Tensor:
    if are_logits:
        log_p = functions.log_softmax(values, axis=-1)
    else:
        log_p = functions.log(functions.maximum(values, float(np.finfo(values.dtype).eps)))
    return functions.maximum(log_p, _NEVER)


def _negative_log_likelihood(
    log_p: Tensor, target: Tensor, labels: Tensor, frames: Tensor | None, blank: int
) -> Tensor:
    """The forward variables of all frames, one after the other; blanks and labels apart.

    ``blanks[:, i]`` is the logarithm of the probability of all beginnings that end in the blank
    before label i, ``taken[:, i]`` of those that end in label i.
    """
    rows, time, _ = log_p.shape
    most = target.shape[1]
    counted = _before(labels, most)
    own = functions.where(counted, target, blank).astype("int32")
    own = checked_indices(own, log_p.shape[2])
    time_first = functions.transpose(log_p, (1, 0, 2))
    of_blank = time_first[:, :, blank : blank + 1]
    places = functions.broadcast_to(functions.expand_dims(own, 0), (time, rows, most))
    of_labels = functions.take_along_axis(time_first, places, 2)
    # Over a blank may be jumped, but not between two equal labels.
    differs = functions.not_equal(own[:, 1:], own[:, :-1])
    jumps = functions.where(differs, 0.0, _NEVER).astype(log_p.dtype)
    jumps = functions.pad(jumps, ((0, 0), (1, 0)))[:, :most]
    never = functions.full((rows, 1), _NEVER, log_p.dtype)
    nothing_taken = functions.full((rows, most), _NEVER, log_p.dtype)
    starts = functions.concatenate([functions.zeros((rows, 1), log_p.dtype), nothing_taken], 1)

    def step(carry: Any, entry: Any) -> Any:
        blanks, taken = carry
        frame, blank_now, labels_now = entry
        before = functions.concatenate([never, taken], 1)
        new_blanks = _log_add(blanks, before) + blank_now
        new_taken = _log_add(taken, blanks[:, :most], before[:, :most] + jumps) + labels_now
        if frames is None:
            return (new_blanks, new_taken), None
        runs = functions.expand_dims(functions.less(frame, frames), 1)
        new_blanks = functions.where(runs, new_blanks, blanks)
        return (new_blanks, functions.where(runs, new_taken, taken)), None

    entries = (functions.arange(time, dtype="int32"), of_blank, of_labels)
    (blanks, taken), _ = scan(step, (starts, nothing_taken), entries)
    ends = functions.expand_dims(labels, 1)
    last_blank = functions.equal(functions.arange(most + 1, dtype="int32"), ends)
    last_label = functions.equal(functions.arange(1, most + 1, dtype="int32"), ends)
    return -_log_add(
        functions.sum(functions.where(last_blank, blanks, 0), 1),
        functions.where(
            functions.greater(labels, 0),
            functions.sum(functions.where(last_label, taken, 0), 1),
            _NEVER,
        ),
    )


def _log_add(*terms: Tensor) -> Tensor:
    """log(sum(exp(x))) of several tensors, element by element."""
    top = terms[0]
    for term in terms[1:]:
        top = functions.maximum(top, term)
    top = functions.stop_gradient(top)
    total = functions.exp(terms[0] - top)
    for term in terms[1:]:
        total = total + functions.exp(term - top)
    return functions.log(total) + top


def _before(lengths: Tensor, most: int) -> Tensor:
    """True for the first ``lengths`` places of each row: (N,) to (N, most)."""
    return functions.less(functions.arange(most, dtype="int32"), functions.expand_dims(lengths, -1))


def _leading(good: Tensor) -> Tensor:
    """True up to the first False of each row."""
    return functions.equal(functions.cumsum(functions.logical_not(good).astype("int32"), 1), 0)


def _labels(y_true: TensorLike, shape: tuple[int, ...]) -> Tensor:
    target = as_tensor(y_true)
    if len(shape) != 3 or shape[2] < 2 or shape[1] < 1:
        raise ShapeError(
            "ctc", "wrong prediction shape", got=shape,
            expected="(batch, frames, classes) with at least 1 frame and 2 classes",
            fix="end the network with a layer that has one output for each class at each frame",
        )  # fmt: skip
    if target.ndim != 2 or target.shape[0] != shape[0] or target.shape[1] < 1:
        raise ShapeError(
            "ctc", "wrong target shape", got=target.shape,
            expected=f"({shape[0]}, labels), one row of labels for each sequence",
            fix="fill short rows up with -1",
        )  # fmt: skip
    return target if target.dtype.name == "int32" else target.astype("int32")


def _blank(blank: int, classes: int) -> int:
    if not -classes <= blank < classes:
        raise ArgumentError(
            "ctc", "blank out of range", got=blank, expected=f"{-classes} to {classes - 1}"
        )
    return blank % classes


def _lengths(lengths: TensorLike, rows: int, limit: int, name: str) -> Tensor:
    given = as_tensor(lengths)
    if given.shape != (rows,):
        raise ShapeError("ctc", f"wrong shape of {name}", got=given.shape, expected=(rows,))
    values = concrete_values(given)
    if values is not None:
        require(
            (values >= 0) & (values <= limit) & (values == np.floor(values)), values, "ctc",
            f"{name} out of range", expected=f"a whole number from 0 to {limit}",
            fix="count the labels or frames of the arrays that were passed",
        )  # fmt: skip
    return given.astype("int32")


def _known(*tensors: Tensor) -> list[NDArray[Any]] | None:
    """The numbers of tensors, or None while one of them is traced."""
    values = [concrete_values(x) for x in tensors]
    known = [v for v in values if v is not None]
    return known if len(known) == len(values) else None


def _require_labels(target: Tensor, labels: Tensor, classes: int, blank: int) -> None:
    known = _known(target, labels)
    if known is None:
        return
    values, lengths = known
    counts = np.arange(values.shape[1]) < lengths[:, None]
    fix = "number the labels from 0, leave out the blank's number, and fill rows up with -1"
    good = (values >= 0) & (values < classes) & (values != blank)
    require(
        good | ~counts, values, "ctc", "label out of range",
        expected=f"0 to {classes - 1}, not the blank {blank}", fix=fix,
    )  # fmt: skip


def _require_room(target: Tensor, labels: Tensor, frames: Tensor | None, time: int) -> None:
    known = _known(target, labels, *([] if frames is None else [frames]))
    if known is None:
        return
    values, lengths = known[:2]
    there = known[2] if frames is not None else np.full(len(values), time)
    repeats = values[:, 1:] == values[:, :-1]
    repeats &= np.arange(1, values.shape[1]) < lengths[:, None]
    needed = lengths + repeats.sum(1)
    if (needed > there).any():
        row = int(np.argmax(needed > there))
        raise DataError(
            "ctc", "more labels than the frames have room for",
            got=f"{lengths[row]} labels, {repeats[row].sum()} repeated, in row {row}",
            expected=f"at most its {there[row]} frames, counting a repeated label twice",
            fix="leave the row out, use shorter strides, or pass zero_infinity=True",
        )  # fmt: skip


class CTC(ProbabilityLoss):
    """Mean ``ctc`` over the rows.

    Beside weights and a mask of rows ``(N,)``, a mask of frames ``(N, T)`` is taken, True for the
    frames that are there, from the first one on; it stands for ``logit_lengths``.

    Args:
        from_logits: None (default) takes logits or folds a final softmax in; False: probabilities.
        blank: the class that stands for no label; default 0.
        zero_infinity: whether labels that do not fit into their frames count as 0; default False.
        name: the name in messages and histories.

    Example:
        >>> loss = cr.losses.CTC()
        >>> round(float(loss([[1, 2], [2, -1]], np.zeros((2, 4, 3)))), 4)
        1.8891

    Differences: PyTorch's ``CTCLoss`` divides each row's loss by its number of labels first.
    """

    function = staticmethod(ctc)
    activation = "softmax"

    def __init__(
        self,
        from_logits: bool | None = None,
        blank: int = 0,
        zero_infinity: bool = False,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(from_logits, name=name, blank=blank, zero_infinity=zero_infinity)

    def __call__(
        self,
        y_true: TensorLike,
        y_pred: TensorLike,
        sample_weight: TensorLike | None = None,
        mask: TensorLike | None = None,
        *,
        label_lengths: TensorLike | None = None,
        logit_lengths: TensorLike | None = None,
    ) -> Tensor:
        """The weighted mean over all rows, a tensor of shape ``()``.

        Args:
            y_true: the labels, ``(N, L)``.
            y_pred: the predictions, ``(N, T, C)``.
            sample_weight: how much each row counts, ``(N,)``; default 1.
            mask: False for rows that do not count, ``(N,)``, or for frames that are not there,
                ``(N, T)``.
            label_lengths: how many labels each row has; default: those before the first negative.
            logit_lengths: how many frames each row has; default: as the mask says, else all.
        """
        if mask is not None and as_tensor(mask).ndim == 2 and as_tensor(y_pred).shape[1] > 1:
            if logit_lengths is None:
                logit_lengths = functions.sum(as_tensor(mask).astype("int32"), 1)
            mask = None
        values = ctc(
            y_true, y_pred, label_lengths=label_lengths, logit_lengths=logit_lengths, **self.options
        )
        return weighted_mean(values, sample_weight, mask, self.name)

    def check_targets(self, y_true: TensorLike, output_shape: tuple[int, ...]) -> None:
        """Shapes and labels, as in ``per_example``."""
        target = as_tensor(y_true)
        shape = (target.shape[0], *output_shape)
        target = _labels(target, shape)
        counts = functions.sum(_leading(functions.greater_equal(target, 0)).astype("int32"), 1)
        _require_labels(target, counts, shape[2], _blank(self.options["blank"], shape[2]))
        if not self.options["zero_infinity"]:
            _require_room(target, counts, None, shape[1])
