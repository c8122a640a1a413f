"""Trying the remedy of a fault that is nearly certain: only whether it hurts is open."""

import math
from dataclasses import replace

from chainrule.diagnosis.case import Case
from chainrule.diagnosis.finding import Evidence

#: what a twin with the remedy must gain over the run and the run with another seed, in skill, and
#: in standard errors of the validation rows; or over the run alone.
LEAST_GAIN, LEAST_Z = 0.01, 1.0
CLEAR_GAIN, CLEAR_Z = 0.05, 3.0


def tried(case: Case, code: str, evidence: Evidence) -> Evidence:
    """The evidence after its first remedy was tried.

    For faults that layers or first weights alone nearly prove: no usual ones look like that. So it
    is enough that the remedy is better by less than other probes need, or that it is much better
    than the run itself, even where another seed would have been lucky.
    """
    remedy = evidence.remedies[0]
    if evidence.settled or remedy.apply is None or not math.isfinite(case.control_skill):
        return evidence
    twin = case.twin(remedy.apply(case.short), f"{code}: {remedy.line}")
    better = twin.skill - case.control_skill
    if (twin.gain > LEAST_GAIN and twin.z > LEAST_Z) or (better > CLEAR_GAIN and twin.z > CLEAR_Z):
        return replace(evidence, settled=True, gain=twin.gain)
    return evidence
