"""Faults of recurrent networks."""

from benchmarks.clinic.plants import Plant

PLANTS: tuple[Plant, ...] = ()
