"""Faults of the structure."""

from benchmarks.clinic.plants import Plant

PLANTS: tuple[Plant, ...] = ()
