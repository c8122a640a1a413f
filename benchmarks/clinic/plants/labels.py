"""Faults of the targets, of the split and of groups."""

from benchmarks.clinic.plants import Plant

PLANTS: tuple[Plant, ...] = ()
