"""The table of faults: one row a cause, in the order of the article's pieces of advice."""

from chainrule.diagnosis.faults import (
    activations,
    data,
    efficiency,
    generalisation,
    labels,
    numerical,
    optimisation,
    recurrent,
    structure,
    task,
)
from chainrule.diagnosis.finding import Fault

FAULTS: tuple[Fault, ...] = (
    *data.FAULTS,
    *labels.FAULTS,
    *structure.FAULTS,
    *recurrent.FAULTS,
    *optimisation.FAULTS,
    *generalisation.FAULTS,
    *efficiency.FAULTS,
    *task.FAULTS,
    *numerical.FAULTS,
    *activations.FAULTS,
)

BY_CODE: dict[str, Fault] = {fault.code: fault for fault in FAULTS}
