"""Faults of generalisation."""

from benchmarks.clinic.plants import Plant

PLANTS: tuple[Plant, ...] = ()
