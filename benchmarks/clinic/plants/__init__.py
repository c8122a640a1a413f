"""Planted faults: what goes wrong on purpose, one row for each way to plant a fault.

A module of this folder holds the rows of one family in ``PLANTS``. How a row is written:

- ``edit(recipe, severity, random)`` returns the run with the fault in it. Severity 0 is mild, 1 is
  severe. ``random`` is a ``numpy.random.Generator``: take every draw from it, so that the run can
  be repeated. Never write into the arrays of the recipe: they are shared; copy first.
- A plant edits data, model or settings as a user would have done it. Nothing that diagnosis sees
  may tell: no layer, function or class named after the fault.
- The recipe of a subject holds NumPy arrays, float32 (tokens: int32), y of shape (N,) int32 for
  classes and (N, 1) float32 for quantities; a model from ``make`` is a new, unbuilt
  ``cr.Sequential``, whose first weights follow from ``settings["seed"]``. The helpers in
  ``editing`` rebuild it with other layers (`rebuilt`) or change its first weights (`initialised`).
- The test rows are never in the recipe. Where the fault changes what the model takes or gives
  (features times 100, a leaked column, targets in other units), ``test(x, y, severity, random)``
  does the same to the test rows: *as they will be when the model is in use*. A column that leaks
  the target is noise there; a scaling forgotten on validation rows is what test rows have. It gets
  a generator with the seed that ``edit`` had: draw in the same order. Without it they stay.
- A planted run counts only if it hurts. ``judged`` says how that is found out:
  ``"score"``: the test metric is worse than that of healthy runs (p < 0.05, d >= 0.5).
  ``"exact"``: the fault is a fact, such as a NaN in the data or a refused shape: it counts always.
  ``"gap"``: the validation metric promises more above the test metric than in healthy runs: leaks.
  ``"time"``: training takes at least 1.5 times as long as in healthy runs.
  ``"group"``: the worst group of ``groups`` is served worse than in healthy runs.
- ``subjects`` are names of `benchmarks.clinic.subjects`, at least three where it makes sense.
- ``located`` says where the fault is, as in ``Evidence.place``: a dict such as ``{"layer":
  "dense_1"}``, or a function of (recipe after the edit, severity, random). None: no place.
- Two ways to plant one fault are two rows with another ``variant``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from numpy.random import Generator

from chainrule.diagnosis.recipe import Recipe

Edit = Callable[[Recipe, int, Generator], Recipe]
EditTest = Callable[[Any, Any, int, Generator], tuple[Any, Any]]
Place = dict[str, Any]
Judged = Literal["score", "exact", "gap", "time", "group"]


@dataclass(frozen=True)
class Plant:
    """One way to plant a fault.

    Attributes:
        code: the fault's, such as ``"O1"``.
        subjects: names of the subjects where it makes sense.
        edit: puts the fault into a run.
        severities: how many degrees there are; 0 is the mildest.
        variant: tells apart the ways to plant one fault.
        judged: how it is found out whether the fault hurts.
        test: does to the test rows what the fault does to rows in use; None: nothing.
        located: where the fault is; None: at no place.
        groups: for each test row (given x) the group that it is in, for ``judged="group"``.
    """

    code: str
    subjects: tuple[str, ...]
    edit: Edit
    severities: int = 2
    variant: str = ""
    judged: Judged = "score"
    test: EditTest | None = None
    located: Place | Callable[[Recipe, int, Generator], Place] | None = None
    groups: Callable[[Any], Any] | None = None

    @property
    def name(self) -> str:
        """Code and variant."""
        return f"{self.code}:{self.variant}" if self.variant else self.code
