"""Faults of the family: the structure of the network."""

from chainrule.diagnosis.finding import Fault

FAULTS: tuple[Fault, ...] = ()
