"""What `Model.explain_plan` shows."""

from typing import TYPE_CHECKING, Any

from chainrule.errors import StateError
from chainrule.training.fit import cast_inputs, probe, ready
from chainrule.training.inputs import as_arrays, count_rows
from chainrule.training.targets import as_targets

if TYPE_CHECKING:
    from chainrule.training.model import Model

_WHERE = "explain_plan"


def explain_plan(model: "Model", x: Any, y: Any, measure: bool) -> str:
    """Tables of kernels; see `Model.explain_plan`."""
    parts = _all(model, measure) if x is None else [_one(model, x, y, measure)]
    return "\n\n".join(f"{title}\n{text}" for title, text in parts if text)


def _all(model: "Model", measure: bool) -> list[tuple[str, str]]:
    """Everything that was compiled for the model so far."""
    setup, forward = model._setup, model._compiled
    parts = []
    if setup is not None:
        parts.append(("training step", setup.step.explain(measure=measure)))
        parts.append(("evaluation", setup.evaluation.explain(measure=measure)))
    if forward is not None:
        parts.append(("predict", forward.explain(measure=measure)))
    if not any(text for _, text in parts):
        raise StateError(
            _WHERE,
            "nothing was compiled for this model yet",
            fix="call fit or predict first, or pass the rows of a batch",
        )
    return parts


def _one(model: "Model", x: Any, y: Any, measure: bool) -> tuple[str, str]:
    """The program for one batch, which is not run on it."""
    inputs = as_arrays(x, "x", _WHERE)
    outputs = probe(model, inputs)
    if y is None:
        inputs = cast_inputs(model, inputs, _WHERE)
        return "predict", model.compiled_call.explain(inputs, measure=measure)
    if model._setup is None:
        raise StateError(_WHERE, "there was no fit whose step could be explained", fix="call fit")
    setup = model._setup
    targets = as_targets(y, count_rows(inputs), _WHERE)
    data = ready(model, inputs, targets, outputs, setup.loss, _WHERE)
    return "training step", setup.step.explain(data.x, data.y, None, measure=measure)
