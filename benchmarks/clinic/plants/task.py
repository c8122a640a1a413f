"""Faults of the set-up of the task."""

from benchmarks.clinic.plants import Plant

PLANTS: tuple[Plant, ...] = ()
