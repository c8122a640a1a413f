"""Faults of the family: time is wasted."""

from chainrule.diagnosis.finding import Fault

FAULTS: tuple[Fault, ...] = ()
