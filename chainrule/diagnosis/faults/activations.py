"""Faults of the family: activations and first weights."""

from chainrule.diagnosis.finding import Fault

FAULTS: tuple[Fault, ...] = ()
