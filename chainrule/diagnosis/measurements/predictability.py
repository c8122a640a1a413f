"""Whether the inputs say anything about the targets, as far as anybody can find out here."""

import numpy as np

from chainrule.diagnosis.case import Case
from chainrule.diagnosis.measurements.baselines import baseline
from chainrule.diagnosis.measurements.rates import rate_sweep

#: a skill that is more than chance, and a fit without a network that is (in standard errors).
LEAST_SIGNAL = 0.05
SIGNAL_Z = 3.0


def signal(case: Case) -> bool:
    """Whether anything beats the constant prediction on rows that it was not fitted to: the run,
    its twins so far, a fit without a network, or the run at the best rate of the sweep.

    That nothing does can be the fault of the data or of how their rows were joined; it cannot be
    told from targets that nobody could predict.
    """
    return case.once("signal", lambda: _signal(case))


def _signal(case: Case) -> bool:
    if not case.usable or case.task.kind == "other":
        return True
    reached = [case.control_skill, *(twin.skill for twin in case.twins)]
    if any(np.isfinite(found) and found > LEAST_SIGNAL for found in reached):
        return True
    known = baseline(case)
    if known is not None and known.z > SIGNAL_Z:
        return True
    sweep = rate_sweep(case)
    rate = 1e-3 if sweep is None else sweep.best_rate
    twin = case.twin(case.short.with_rate(rate), "signal: the best rate")
    return bool(np.isfinite(twin.skill) and twin.skill > LEAST_SIGNAL)
