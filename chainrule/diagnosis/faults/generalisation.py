"""Faults of the family: what is learnt does not carry over."""

from chainrule.diagnosis.finding import Fault

FAULTS: tuple[Fault, ...] = ()
