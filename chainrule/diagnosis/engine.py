"""Diagnosis: every probe looks, remedies are tried in twin runs, and the causes are ranked.

1. Probes look for the faults of the table, cheap ones first.
2. What a probe suspects without having measured the harm is tried: a twin of the run, from the same
   first weights, in the same order of rows, with the remedy. It counts only if the twin is better
   on the validation rows than the run and than the run with another seed.
3. Each candidate has a score: how sure its probe is, times how much of the best gain its remedy
   brings. A candidate that a confirmed one explains (a consequence, by the table) loses most of it.
4. The score becomes a probability by `probability_of`, which was fitted on planted faults.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.diagnosis.case import Case, Twin
from chainrule.diagnosis.finding import Evidence, Fault
from chainrule.diagnosis.table import FAULTS

#: A twin must be better by this much skill, and its error smaller by a larger factor than another
#: seed makes, to confirm a remedy.
LEAST_GAIN = 0.03
#: ... and by so many standard errors over the validation rows.
LEAST_Z = 1.75
#: ... where the fault itself is certain; or, over the run alone, whatever another seed does.
CERTAIN_GAIN, CERTAIN_Z = 0.01, 1.0
CLEAR_GAIN, CLEAR_Z = 0.05, 3.0
#: what a candidate keeps of its score if a confirmed one explains it.
EXPLAINED_SHARE = 0.35
#: a candidate explains others from this score on.
EXPLAINING_SCORE = 0.35
#: twins at most; the most suspected come first.
MOST_TWINS = 8
#: skill below which a run is no better than a constant prediction.
POOR_SKILL = 0.05
#: a candidate is a cause from this probability on, and a note below it.
LEAST_PROBABILITY = 0.5
MOST_CAUSES = 3


@dataclass
class Candidate:
    """A fault that a probe suspects."""

    fault: Fault
    evidence: Evidence
    twin: Twin | None = None
    score: float = 0.0

    @property
    def gain(self) -> float | None:
        """What the probe measured, else the skill that the remedy brings."""
        if self.evidence.gain is not None:
            return self.evidence.gain
        return self.twin.gain if self.twin is not None else None


@dataclass(frozen=True)
class Examination:
    """What was found about a case, before it is put into words.

    Attributes:
        causes: the candidates that count, the most probable first, with their probabilities.
        notes: the others.
        passed: faults that were looked for and not found.
        unchecked: codes of faults that could not be looked for, with the reason.
        poor: whether the run is no better than a constant prediction.
    """

    causes: list[tuple[Candidate, float]]
    notes: list[Candidate]
    passed: list[Fault]
    unchecked: dict[str, str] = field(default_factory=dict)
    poor: bool = False


def examine(case: Case, most_cost: int = 2, twins: bool = True) -> Examination:
    """Look for all faults of the table.

    Args:
        case: the run.
        most_cost: probes that cost more are left out (see `Fault`); default all are used.
        twins: try remedies. Default True.
    """
    found, passed, unchecked = _look(case, most_cost)
    if twins and case.usable:
        _try_remedies(case, found)
    _score(case, found, twins)
    ranked = sorted(found, key=lambda c: -c.score)
    chances = [(c, probability_of(c.score)) for c in ranked]
    causes = [pair for pair in chances if pair[1] >= LEAST_PROBABILITY][:MOST_CAUSES]
    chosen = [c for c, _ in causes]
    if twins:
        _measure_gains(case, chosen)
    notes = [c for c in ranked if c not in chosen]
    return Examination(causes, notes, passed, unchecked, _poor(case))


def probability_of(score: float) -> float:
    """The share of candidates with such a score that are the planted cause."""
    return min(max(score, 0.0), 0.99)


def _look(case: Case, most_cost: int) -> tuple[list[Candidate], list[Fault], dict[str, str]]:
    found: list[Candidate] = []
    passed: list[Fault] = []
    unchecked: dict[str, str] = {}
    for fault in sorted(FAULTS, key=lambda f: f.cost):
        if fault.cost > most_cost:
            unchecked[fault.code] = "not asked for"
        elif fault.cost and not case.usable:
            unchecked[fault.code] = "the data are not finite numbers"
        elif fault.cost and case.seconds_left < 0:
            unchecked[fault.code] = "no time left"
        else:
            try:
                with warnings.catch_warnings(), np.errstate(all="ignore"):
                    warnings.simplefilter("ignore", RuntimeWarning)  # broken runs overflow
                    evidence = fault.probe(case)
            except Exception as error:  # one probe that fails must not hide what the others found
                unchecked[fault.code] = f"{type(error).__name__}: {error}"
                continue
            if evidence is None:
                passed.append(fault)
            else:
                found.append(Candidate(fault, evidence))
    return found, passed, unchecked


def _try_remedies(case: Case, found: Sequence[Candidate]) -> None:
    """Run a twin for the candidates whose harm is not measured yet."""
    open_ones = [c for c in found if not c.evidence.settled]
    for candidate in sorted(open_ones, key=lambda c: -c.evidence.strength)[:MOST_TWINS]:
        _run_twin(case, candidate)


def _measure_gains(case: Case, causes: Sequence[Candidate]) -> None:
    """What the remedies of causes bring that no twin had to confirm."""
    for candidate in causes:
        if candidate.twin is None:
            _run_twin(case, candidate)


def _run_twin(case: Case, candidate: Candidate) -> None:
    remedy = next((r for r in candidate.evidence.remedies if r.apply is not None), None)
    if remedy is None or remedy.apply is None or case.seconds_left < 0:
        return
    changed = remedy.apply(case.short)
    candidate.twin = case.twin(changed, f"{candidate.fault.code}: {remedy.line}")


def _score(case: Case, found: Sequence[Candidate], twins: bool) -> None:
    gains = [c.twin.gain for c in found if c.twin is not None and math.isfinite(c.twin.gain)]
    best = max([g for g in gains if g > 0], default=1.0)
    for c in found:
        if c.evidence.settled or not twins:
            c.score = c.evidence.strength
        elif c.twin is None or not confirmed(case, c.twin, c.evidence.certain):
            c.score = 0.0
        elif c.evidence.certain:
            c.score = c.evidence.strength
        else:
            share = min(c.twin.gain / best, 1.0) if math.isfinite(c.twin.gain) else 1.0
            c.score = c.evidence.strength * (0.4 + 0.6 * share)
    explained = [c for c in found if any(_explains(other, c) for other in found)]
    for c in explained:
        c.score *= EXPLAINED_SHARE


def _explains(cause: Candidate, other: Candidate) -> bool:
    """Whether a candidate that is likely enough makes another one its consequence; of two that
    could each be the other's, the likelier is the cause.
    """
    if cause.score < EXPLAINING_SCORE or other.fault.code not in cause.fault.explains:
        return False
    mutual = cause.fault.code in other.fault.explains
    return not mutual or cause.score > other.score


def confirmed(case: Case, twin: Twin, certain: bool = False) -> bool:
    """Whether a twin run is better than the run by more than chance; see `Evidence.certain`."""
    if not math.isfinite(twin.skill):
        return False
    if not math.isfinite(case.control_skill):
        return twin.skill > POOR_SKILL
    if certain:
        better = twin.skill - case.control_skill
        little = twin.gain > CERTAIN_GAIN and twin.z > CERTAIN_Z
        return little or (better > CLEAR_GAIN and twin.z > CLEAR_Z)
    beyond_luck = twin.gain > case.luck or _smaller_by_more_than_luck(case, twin)
    return twin.gain > LEAST_GAIN and twin.z > LEAST_Z and beyond_luck


def _smaller_by_more_than_luck(case: Case, twin: Twin) -> bool:
    """Whether the twin's error is below that of both runs without the change by a larger factor
    than lies between the two. Differences of skills alone would not do: where training fails, seeds
    differ by much, and a remedy can bring no more than the skill of 1.
    """
    own, other, changed = (
        min(max(1 - skill, 1e-3), 2.0)
        for skill in (case.control_skill, case.reseeded_skill, twin.skill)
    )
    return math.log(min(own, other) / changed) > abs(math.log(own / other))


def _poor(case: Case) -> bool:
    if not case.usable or case.refused or case.not_finite:
        return True
    return not case.control_skill >= POOR_SKILL


def plain(value: Any) -> Any:
    """A place's values as numbers, text and lists."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
