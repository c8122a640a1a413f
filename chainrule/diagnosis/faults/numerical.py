"""Faults of the family: numbers that cannot be computed."""

from chainrule.diagnosis.finding import Fault

FAULTS: tuple[Fault, ...] = ()
