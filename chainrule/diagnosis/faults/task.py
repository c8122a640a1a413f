"""Faults of the family: outputs, targets and loss do not fit together."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import losses
from chainrule.diagnosis.case import Case
from chainrule.diagnosis.editing import configure, is_sequential, set_activation
from chainrule.diagnosis.faults import passage
from chainrule.diagnosis.finding import Evidence, Fault, Remedy
from chainrule.diagnosis.measurements.heads import Head, head_of, unreachable
from chainrule.diagnosis.measurements.loss_forms import (
    FEW_ROWS,
    aligned_targets,
    eager,
    pairs_instead_of_rows,
    takes,
    written_by_user,
)
from chainrule.diagnosis.recipe import Recipe
from chainrule.losses import FunctionLoss, Loss
from chainrule.tensor import Tensor, functions
from chainrule.training.inputs import as_arrays, take_rows

Array = NDArray[Any]

#: Share of the targets' variance out of reach that is a fact, and that is worth a twin run.
CLEARLY_OUT, SOMEWHAT_OUT = 0.01, 0.002
#: Losses with a meaning of their own that seldom suit a quantity.
UNUSUAL = ("poisson", "mean_squared_logarithmic_error", "mean_absolute_percentage_error",
           "cosine_similarity", "kl_divergence")  # fmt: skip
#: Activations that bound the scores of classes and are no probabilities.
BOUNDED = ("relu", "relu6", "tanh", "softsign", "hard_sigmoid", "exponential")


# ---- T1: pairs of rows


def _pairs(case: Case) -> Evidence | None:
    loss = case.loss
    if loss is None or not written_by_user(loss) or not case.usable or len(case.y) < FEW_ROWS:
        return None
    y, outputs = _few_rows(case)
    if outputs.ndim != 2 or y.shape != outputs.shape or outputs.shape[1] != 1:
        return None
    if not pairs_instead_of_rows(loss, y, outputs):
        return None
    sentence = (
        f"The loss {loss.name!r} compares every target with every prediction: one of them is (n,) "
        f"and the other (n, 1), which makes n x n differences, so that {len(y)} rows give the mean "
        f"of {len(y) ** 2} and the best answer for every row is the mean of all targets."
    )
    fixed = next((f for f in _aligned(loss) if pairs_instead_of_rows(f, y, outputs) is False), None)
    line = "loss=lambda y_true, y_pred: own(y_true[:, 0], y_pred[:, 0])  # the same shape"
    apply = None if fixed is None else (lambda recipe: recipe.with_settings(loss=fixed))
    return Evidence(
        0.99, sentence, (Remedy(line, "A", apply),), {"operation": loss.name}, settled=True
    )


def _few_rows(case: Case) -> tuple[Array, Array]:
    """Targets and outputs of some rows, with targets that differ."""
    order = np.argsort(case.y.reshape(len(case.y), -1)[:, 0], kind="stable")
    rows = order[np.linspace(0, len(order) - 1, FEW_ROWS).astype(int)]
    inputs = as_arrays(take_rows(case.x, rows), "x", "diagnose")
    outputs = eager(case.first, inputs)[0]
    y = aligned_targets(case.y[rows], outputs, outputs.dtype)
    if y.shape == outputs.shape and outputs.std() < 0.3 * y.std():  # too alike to tell pairs apart
        outputs = outputs + np.roll(y, 2, axis=0)
    return y, outputs


def _aligned(loss: Loss) -> list[Loss]:
    """The same loss given targets and predictions as (n,)."""
    own = loss.user_function if isinstance(loss, FunctionLoss) else loss.per_example

    def flat(x: Tensor) -> Tensor:
        return functions.reshape(x, (-1,))

    ways = (
        lambda y, p: own(flat(y), flat(p)),
        lambda y, p: own(flat(y), p),
        lambda y, p: own(y, flat(p)),
    )
    return [FunctionLoss(way, name=loss.name) for way in ways]


# ---- T2: what the outputs can say


def _cannot_say(case: Case) -> Evidence | None:
    head = head_of(case)
    if head is None or case.loss is None:
        return None
    if case.task.kind == "numbers":
        return _numbers_out_of_reach(case, head)
    if case.task.kind == "classes":
        return _too_few_outputs(case, head) or _classes_out_of_reach(case, head)
    return None


def _numbers_out_of_reach(case: Case, head: Head) -> Evidence | None:
    columns = case.y.reshape(len(case.y), -1).shape[1]
    if head.width != columns and case.refused and len(head.shape) == 1:
        return _exact_width(head, columns, f"each row has {columns} target(s)", None)
    share, rows = unreachable(head, case.y)
    if head.width != columns or share < SOMEWHAT_OUT:
        return None
    low, high = head.range
    end = (
        f"down to {float(case.y.min()):.3g} but {head.activation} cannot go below {low:.3g}"
        if case.y.min() < low
        else f"up to {float(case.y.max()):.3g} but {head.activation} cannot go above {high:.3g}"
    )
    sentence = (
        f"The targets go {end}: {rows:.0%} of them are out of reach of `{head.path}`, and with "
        f"them {share:.0%} of what there is to explain."
    )
    return _with_linear_head(head, sentence, 0.95, share >= CLEARLY_OUT)


def _with_linear_head(head: Head, sentence: str, strength: float, settled: bool) -> Evidence:
    def apply(recipe: Recipe) -> Recipe:
        return set_activation(recipe, [head.path], "linear")

    remedy = Remedy(f"{head.path}: activation=None", "A", apply)
    place = {"layer": head.path}
    return Evidence(strength, sentence, (remedy,), place, settled=settled, certain=True)


def _exact_width(head: Head, width: int, why: str, loss: Any) -> Evidence:
    """Too few or too many outputs."""

    def apply(recipe: Recipe) -> Recipe:
        if not is_sequential(recipe.make()):
            return recipe
        changed = configure(recipe, [head.path], units=width)
        if loss is None:
            return changed
        changed = set_activation(changed, [head.path], "linear")
        return changed.with_settings(loss=loss)

    sentence = f"`{head.path}` has {head.width} output(s), but {why}."
    remedy = Remedy(f"{head.path}: Dense({width})", "A", apply)
    return Evidence(0.99, sentence, (remedy,), {"layer": head.path}, settled=True)


def _too_few_outputs(case: Case, head: Head) -> Evidence | None:
    """Classes that have no output, or a head that can be right about two classes only."""
    assert case.loss is not None
    count, kind = len(case.task.classes), case.loss.task
    numbered = case.y.ndim == 1 or case.y.shape[1] == 1
    needed = int(case.task.classes.max()) + 1 if numbered else case.y.shape[1]
    why = f"there are {needed} classes"
    if kind == "classes" and len(head.shape) == 1 and case.refused:
        if (numbered and head.width < needed) or (not numbered and head.width != needed):
            return _exact_width(head, needed, why, "cross_entropy")
        if head.activation == "sigmoid":
            sentence = (
                f"`{head.path}` ends with sigmoid, which answers yes or no for each of "
                f"{head.width} outputs by itself; a row belongs to one of {count} classes."
            )
            return _with_linear_head(head, sentence, 0.99, settled=True)
    if kind == "binary" and numbered and head.width == 1 and count > 2:
        return _exact_width(head, needed, f"{why}: it can only say yes or no", "cross_entropy")
    if kind == "binary" and head.activation == "softmax" and head.width == 1:
        sentence = f"`{head.path}` is a softmax over one output, which is 1 for every row."
        return _with_linear_head(head, sentence, 0.99, settled=True)
    return None


def _classes_out_of_reach(case: Case, head: Head) -> Evidence | None:
    """Scores that cannot differ enough, and labels outside the range of a single output."""
    assert case.loss is not None
    if case.loss.task == "values" and head.width == 1 and not case.refused:
        share, _ = unreachable(head, case.y)
        if share < CLEARLY_OUT:
            return None
        sentence = (
            f"Labels go up to {int(case.y.max())}, but `{head.path}` ends with {head.activation}, "
            f"which stays between {head.range[0]:g} and {head.range[1]:g}."
        )
        return _with_linear_head(head, sentence, 0.95, settled=len(case.task.classes) > 2)
    if case.loss.task in (None, "values") or head.activation not in BOUNDED:
        return None
    low, high = head.range
    bounds = f"not below {low:g}" if math.isinf(high) else f"between {low:g} and {high:g}"
    sentence = (
        f"`{head.path}` ends with {head.activation}, so the scores of the classes stay {bounds}, "
        f"while the loss {case.loss.name!r} needs scores without bounds."
    )
    return _with_linear_head(head, sentence, 0.9, settled=False)


# ---- T3: the loss and the task


def _wrong_loss(case: Case) -> Evidence | None:
    head, loss = head_of(case), case.loss
    if head is None or loss is None or loss.task is None or len(head.shape) != 1:
        return None
    if case.task.kind == "numbers":
        return _quantities(case, head, loss)
    if case.task.kind == "classes":
        return _classes(case, head, loss)
    return None


def _quantities(case: Case, head: Head, loss: Loss) -> Evidence | None:
    if head.width != case.y.reshape(len(case.y), -1).shape[1]:
        return None
    values = case.y.reshape(-1)
    apply = lambda recipe: recipe.with_settings(loss="mse", metrics=[])  # noqa: E731
    remedies = (Remedy('loss="mse"', "B", apply),)
    count, low, high = len(np.unique(values)), values.min(), values.max()
    seen = f"{count} different values from {low:.3g} to {high:.3g}"
    if loss.task in ("classes", "binary"):
        sentence = f"The targets are quantities ({seen}); {loss.name} is a loss for classes."
        return Evidence(0.97, sentence, remedies, {"operation": loss.name}, settled=case.refused)
    if loss.name not in UNUSUAL:
        return None
    sentence = f"{loss.name} does not suit these targets ({seen}); a squared error does better."
    return Evidence(0.85, sentence, remedies, {"operation": loss.name})


def _classes(case: Case, head: Head, loss: Loss) -> Evidence | None:
    numbered = case.y.ndim == 1 or case.y.shape[1] == 1
    count, labels = len(case.task.classes), case.task.classes
    needed = int(labels.max()) + 1
    if not numbered or count < 2 or labels.min() < 0 or needed > 3 * count:
        return None
    remedies = (Remedy('loss="cross_entropy"', "B", lambda r: _for_classes(r, head, needed)),)
    place = {"operation": loss.name}
    if head.width >= needed and case.refused and loss.task in ("values", "binary"):
        sentence = (
            f"{count} classes, numbered {int(labels.min())} to {needed - 1}, with one output for "
            f"each, are fitted with {loss.name}, which is not made for one class of several."
        )
        return Evidence(0.98, sentence, remedies, place, settled=True)
    if head.width == 1 and count >= 3 and loss.task == "values" and not case.refused:
        sentence = (
            f"{count} classes, numbered {int(labels.min())} to {needed - 1}, are fitted as "
            f"quantities with {loss.name}: class 2 counts as twice class 1."
        )
        return Evidence(0.97, sentence, remedies, place)
    return None


def _for_classes(recipe: Recipe, head: Head, needed: int) -> Recipe:
    """The run with one output for each class and a cross-entropy."""
    if head.width < needed:
        if not is_sequential(recipe.make()):
            return recipe
        recipe = configure(recipe, [head.path], units=needed)
    recipe = set_activation(recipe, [head.path], "linear")
    return recipe.with_settings(loss="cross_entropy", metrics=[])


# ---- T4: probabilities and logits


def _twice(case: Case) -> Evidence | None:
    if case.task.kind != "classes" or case.loss is None:
        return None
    head = head_of(case)
    if head is None:
        return None
    before = _softmax_before(case, head)
    taken, given = takes(case)
    place: dict[str, Any] = {"operation": case.loss.name}
    floor = _floor(len(case.task.classes))
    twice = f"with {len(case.task.classes)} classes the loss cannot go below {floor:.3f}"
    insists = case.refused and getattr(case.loss, "options", {}).get("from_logits") is True
    name = "binary_cross_entropy" if head.width == 1 else "cross_entropy"
    if before:
        sentence = f"`{before}` gives probabilities, and `{head.path}` applies softmax again"

        def linear(recipe: Recipe) -> Recipe:
            return set_activation(recipe, [before], "linear")

        remedy = Remedy(f"{before}: activation=None", "A", linear)
        return Evidence(
            0.98, f"{sentence}: {twice}.", (remedy,), {"layer": head.path}, settled=True
        )
    if (taken, given) == ("logits", "probabilities") or insists:
        loss: Any = name
        if head.activation not in ("softmax", "sigmoid"):
            loss = losses.get(name, from_logits=False)
        sentence = (
            f"The model gives probabilities ({head.activation or 'rows that sum to 1'} in "
            f"`{head.path}`), and the loss {case.loss.name!r} takes them for logits: softmax is "
            f"applied twice, and {twice}."
        )
    elif (taken, given) == ("probabilities", "logits"):
        loss = name
        sentence = (
            f"The loss {case.loss.name!r} takes the outputs of `{head.path}` for probabilities, "
            "but they are logits: they go below 0 and above 1 and do not sum to 1."
        )
    else:
        return None
    apply = lambda recipe: recipe.with_settings(loss=loss)  # noqa: E731
    return Evidence(0.98, sentence, (Remedy(f"loss={loss!r}", "A", apply),), place, settled=True)


def _floor(classes: int) -> float:
    """The least cross-entropy of softmax applied to probabilities: ln(1 + (K - 1) / e)."""
    return math.log(1 + (classes - 1) / math.e)


def _softmax_before(case: Case, head: Head) -> str:
    """The layer whose output are probabilities already, where the head is a softmax."""
    if head.activation != "softmax" or case.at_start is None or len(case.at_start.layers) < 2:
        return ""
    last, previous = case.at_start.layers[-1], case.at_start.layers[-2]
    inputs = last.inputs if last.z is None or last.kind in ("Activation", "Softmax") else last.z
    if inputs.ndim != 2 or inputs.shape[1] < 2 or previous.activation != "softmax":
        return ""
    sums = np.abs(inputs.sum(axis=1) - 1).max()
    return previous.path if inputs.min() >= 0 and sums < 1e-3 else ""


FAULTS: tuple[Fault, ...] = (
    Fault(
        "T1", "the loss compares all pairs of rows", "activation and loss",
        "the loss of 7 rows is the mean over 49 pairs, not over 7 rows", _pairs,
        explains=("S2", "O1", "O2", "D6", "T3"), cost=1,
    ),
    Fault(
        "T2", "the outputs cannot say the answer", "activation and loss",
        "targets outside of the range of the last activation (over 1 % of their variance), or "
        "another number of outputs than of classes", _cannot_say,
        explains=("T3", "S2", "V3", "D4"), cost=1,
    ),
    Fault(
        "T3", "the loss does not fit the task", "activation and loss",
        "classes against a loss for quantities, or the other way round", _wrong_loss,
        explains=("S2", "D4", "O1", "O2"), cost=1,
    ),
    Fault(
        "T4", "softmax twice, or logits taken for probabilities", "activation and loss",
        "the loss of single rows is -log softmax(p) of probabilities p, or -log z of logits z",
        _twice, explains=("S2", "O2", "O1", "O3"), cost=1,
    ),
    *passage.FAULTS,
)  # fmt: skip
