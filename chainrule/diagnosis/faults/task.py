"""Faults of the family: outputs, targets and loss do not fit together."""

from chainrule.diagnosis.finding import Fault

FAULTS: tuple[Fault, ...] = ()
