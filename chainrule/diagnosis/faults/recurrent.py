"""Faults of the family: recurrent networks."""

from chainrule.diagnosis.finding import Fault

FAULTS: tuple[Fault, ...] = ()
