"""Faults of the optimisation."""

from benchmarks.clinic.plants import Plant

PLANTS: tuple[Plant, ...] = ()
