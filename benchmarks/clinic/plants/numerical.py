"""Numerical faults."""

from benchmarks.clinic.plants import Plant

PLANTS: tuple[Plant, ...] = ()
