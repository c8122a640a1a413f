"""Faults that cost time."""

from benchmarks.clinic.plants import Plant

PLANTS: tuple[Plant, ...] = ()
