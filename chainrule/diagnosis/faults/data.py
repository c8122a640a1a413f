"""Faults of the family: the inputs: values, scales, leaks, splits."""

from chainrule.diagnosis.finding import Fault

FAULTS: tuple[Fault, ...] = ()
