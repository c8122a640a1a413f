"""Faults of the family: the targets: scale, wrong labels, order, balance."""

from chainrule.diagnosis.finding import Fault

FAULTS: tuple[Fault, ...] = ()
