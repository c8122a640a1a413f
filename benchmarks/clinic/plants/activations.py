"""Faults of activations and first weights."""

from benchmarks.clinic.plants import Plant

PLANTS: tuple[Plant, ...] = ()
