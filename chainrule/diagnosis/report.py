"""What `diagnose` returns: the causes in words, what else was seen, and the way to repair."""

import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from chainrule.diagnosis.case import Case
from chainrule.diagnosis.engine import Candidate, Examination, plain
from chainrule.diagnosis.faults.groups import Group, groups
from chainrule.diagnosis.finding import Fault, Remedy
from chainrule.training.model import Model

Verdict = Literal["causes", "healthy", "unknown", "no signal"]
WIDTH = 100
#: Groups are shown from this many standard errors on, at most so many.
NOTED_Z, MOST_GROUPS = 3.0, 3

_VERDICTS: dict[Verdict, str] = {
    "causes": "training is held back by {count}",
    "healthy": "nothing found that holds training back",
    "unknown": "the run is poor, and I do not know why: none of the checks explains it",
    "no signal": "no signal found: the inputs seem to say nothing about the targets; either they "
    "cannot, or rows of x and y do not belong together",
}


@dataclass(frozen=True)
class Cause:
    """A cause, or a note, in words.

    Attributes:
        code, name: of the fault, see the table in ``docs/diagnosis.md``.
        advice: the piece of the article's advice that it belongs to.
        probability: how often such a finding was right among planted faults.
        sentence: what is wrong, with numbers.
        place: where: ``layer``, ``column``, ``rows``, ``operation``, ``step``, ``group``.
        remedies: what to do, the best first.
        skill: before and after the remedy, in a twin run; None if none was run.
        gain: the difference that the remedy made, or that the probe measured; None if unknown.
    """

    code: str
    name: str
    advice: str
    probability: float
    sentence: str
    place: dict[str, Any]
    remedies: tuple[Remedy, ...]
    skill: tuple[float, float] | None
    gain: float | None

    def lines(self) -> list[str]:
        """In words, without the number in front."""
        lines = [f"{self.name} ({self.code}), probability {self.probability:.2f}", self.sentence]
        if self.place:
            where = ", ".join(f"{key} {_short(value)}" for key, value in self.place.items())
            lines.append(f"Where: {where}")
        lines += [f"To fix: {remedy.line}" for remedy in self.remedies[:2]]
        if self.skill is not None:
            before, after = self.skill
            first = f"{before:.3f}" if math.isfinite(before) else "none"
            lines.append(f"Tried: skill {first} before, {after:.3f} with the first remedy")
        return lines


class Report:
    """The result of `diagnose`; ``print`` shows it.

    Attributes:
        verdict: ``"causes"``, ``"healthy"``, ``"unknown"`` (poor, but no cause was found) or
            ``"no signal"``.
        causes: at most three, the most probable first.
        notes: what was seen and does not hold the run back, or less than a cause does.
        passed: names of the faults that were looked for and not found.
        unchecked: codes of the faults that could not be looked for, and why.
        groups: how rows with one value in a column, or of one class, are served, the worst first.
    """

    def __init__(
        self,
        case: Case,
        examination: Examination,
        verdict: Verdict,
        wrap: Callable[[Model], Any] = lambda model: model,
    ) -> None:
        self._case = case
        self._wrap = wrap
        self.verdict = verdict
        self.causes = [_cause(case, c, chance) for c, chance in examination.causes]
        self.notes = [_cause(case, c, c.score) for c in examination.notes]
        self.passed = [f"{fault.code} {fault.name}" for fault in _by_advice(examination.passed)]
        self.unchecked = examination.unchecked
        self.groups: list[Group] = groups(case)

    def __str__(self) -> str:
        lines = [self.text()]
        if any(remedy.apply for cause in self.causes for remedy in cause.remedies):
            lines += ["", 'report.repair() tries what is safe, report.repair(apply="all") the rest']
        return "\n".join(lines)

    __repr__ = __str__

    def text(self) -> str:
        """The findings in words."""
        case = self._case
        count = f"{len(self.causes)} cause" + ("s" if len(self.causes) > 1 else "")
        lines = [f"Diagnosis of {case.model.name!r}: {_VERDICTS[self.verdict].format(count=count)}"]
        if case.usable and not case.refused:
            lines.append(
                f"skill on {'validation' if case.validated else 'held-out'} rows "
                f"{case.control_skill:.3f}, on training rows {case.training_skill:.3f} "
                "(1 is right, 0 a constant prediction)"
            )
        for number, cause in enumerate(self.causes, 1):
            lines.append("")
            lines += _indented(cause.lines(), f"{number}. ")
        if self.notes:
            lines += ["", "Notes (not what holds the run back):"]
            lines += _indented([f"{n.name} ({n.code}): {n.sentence}" for n in self.notes], "", "- ")
        lines += self._group_lines()
        lines += ["", f"Checked and in order: {len(self.passed)} of {self._looked_for} faults"]
        if self.unchecked:
            lines.append(f"Not checked: {', '.join(self.unchecked)}")
        return "\n".join(lines)

    def _group_lines(self) -> list[str]:
        """The groups of rows that are served worst, where that is more than chance."""
        worst = [group for group in self.groups if group.z > NOTED_Z][:MOST_GROUPS]
        if not worst:
            return []
        what = "share of wrong rows" if self._case.task.kind == "classes" else "squared error"
        lines = [
            "",
            f"Groups of rows that are served worst ({what}, 95 % interval for all groups):",
        ]
        return lines + [
            f"- {g.name} ({g.rows} rows): {g.error:.2f} ({g.low:.2f} to {g.high:.2f}), "
            f"the others {g.others:.2f}"
            for g in worst
        ]

    @property
    def _looked_for(self) -> int:
        return len(self.passed) + len(self.causes) + len(self.notes)

    def to_dict(self) -> dict[str, Any]:
        """Everything as numbers, text and lists."""
        return {
            "verdict": self.verdict,
            "causes": [_as_dict(cause) for cause in self.causes],
            "notes": [_as_dict(note) for note in self.notes],
            "passed": self.passed,
            "unchecked": dict(self.unchecked),
            "groups": [asdict(group) for group in self.groups],
        }

    def repair(self, apply: "Literal['safe', 'all'] | Sequence[str]" = "safe") -> Any:
        """Train a new model with the remedies; this one stays as it is.

        Args:
            apply: ``"safe"`` for remedies that change neither the rows nor the network's kind,
                ``"all"``, or the codes of the causes to treat, ``["O1", "D3"]``. Labels are never
                changed.

        Returns:
            A `Repaired`: the fitted model and a table of before and after. A remedy that does not
            help on the validation rows is left out; if none helps, the model is the old one.

        Raises:
            ArgumentError: a code that is no cause of this report.
        """
        from chainrule.diagnosis.repair import repaired

        return repaired(self._case, self.causes, apply, self._wrap)


def _cause(case: Case, candidate: Candidate, probability: float) -> Cause:
    fault, evidence = candidate.fault, candidate.evidence
    return Cause(
        fault.code, fault.name, fault.advice, round(probability, 3), evidence.sentence,
        {key: plain(value) for key, value in evidence.place.items()}, evidence.remedies,
        _tried(case, candidate), candidate.gain,
    )  # fmt: skip


def _tried(case: Case, candidate: Candidate) -> tuple[float, float] | None:
    twin = candidate.twin
    if twin is None or not math.isfinite(twin.skill):
        return None
    return (case.control_skill if case.usable else float("-inf")), twin.skill


_ORDER = ("data", "structure", "rate and batch", "activation and loss", "initial weights")


def _by_advice(faults: Sequence[Fault]) -> list[Fault]:
    return sorted(faults, key=lambda fault: _ORDER.index(fault.advice))


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _indented(lines: Sequence[str], first: str, each: str = "") -> list[str]:
    """Wrapped lines, the first with a mark in front and the rest set in as far."""
    space = " " * len(first or each)
    result = []
    for index, line in enumerate(lines):
        mark = each or (first if index == 0 else space)
        result += textwrap.wrap(line, WIDTH, initial_indent=mark, subsequent_indent=space)
    return result


def _as_dict(cause: Cause) -> dict[str, Any]:
    return {
        "code": cause.code, "name": cause.name, "advice": cause.advice,
        "probability": cause.probability, "sentence": cause.sentence, "place": cause.place,
        "remedies": [remedy.line for remedy in cause.remedies],
        "skill": None if cause.skill is None else list(cause.skill), "gain": cause.gain,
    }  # fmt: skip
