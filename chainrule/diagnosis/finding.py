"""What diagnosis is made of: a row of the table of faults, what its probe found, its remedies."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from chainrule.diagnosis.recipe import Recipe

if TYPE_CHECKING:
    from chainrule.diagnosis.case import Case

#: The article's five pieces of advice for training that does not improve.
Advice = Literal["data", "structure", "rate and batch", "activation and loss", "initial weights"]

#: A: repair may apply it; B: only where the user says so, it changes data or model; N: explained.
Automatic = Literal["A", "B", "N"]


@dataclass(frozen=True)
class Remedy:
    """What to do about a fault.

    Attributes:
        line: a line of code.
        automatic: whether ``repair`` may do it.
        apply: edits the recipe of the run; None where only the user can do it.
        unjudged: the validation rows cannot tell whether it helps, since they have the fault too
            (a leak, wrong labels) or the remedy aims at another score: repair keeps it if asked to.
    """

    line: str
    automatic: Automatic
    apply: Callable[[Recipe], Recipe] | None = None
    unjudged: bool = False


@dataclass(frozen=True)
class Evidence:
    """What a probe found.

    Attributes:
        strength: from 0 to 1: how sure the probe alone makes it; 0.5 just over the limit.
        sentence: what is wrong, with the numbers that say so.
        remedies: the best first.
        place: where: ``layer``, ``column``, ``rows``, ``operation``, ``step``, ``group``.
        settled: the probe measured the harm itself (or the fault is exact): no twin run has to
            confirm it. False: the finding counts only if a twin run with a remedy does better.
        certain: what is wrong is plain, and only open whether it hurts here: a twin run has to be
            better by little to confirm it.
        gain: what the probe measured, if it is settled and there is such a number.
    """

    strength: float
    sentence: str
    remedies: tuple[Remedy, ...] = ()
    place: dict[str, Any] = field(default_factory=dict)
    settled: bool = False
    certain: bool = False
    gain: float | None = None


@dataclass(frozen=True)
class Fault:
    """A row of the table: a cause of poor training.

    Attributes:
        code: such as ``"O1"``.
        name: in a few words.
        advice: the piece of advice that it belongs to.
        limit: what the probe compares with what, in words.
        probe: looks for it.
        explains: codes of the faults that are its consequences: found beside it, they are symptoms.
        cost: 0 looks at shapes, settings and data, 1 runs the model, 2 trains for a while. Cheap
            probes come first.
    """

    code: str
    name: str
    advice: Advice
    limit: str
    probe: "Callable[[Case], Evidence | None]"
    explains: tuple[str, ...] = ()
    cost: Literal[0, 1, 2] = 0
