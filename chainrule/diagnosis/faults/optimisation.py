"""Faults of the family: learning rate, batches and the run."""

from chainrule.diagnosis.finding import Fault

FAULTS: tuple[Fault, ...] = ()
