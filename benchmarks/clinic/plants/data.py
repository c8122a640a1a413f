"""Faults of the inputs."""

from benchmarks.clinic.plants import Plant

PLANTS: tuple[Plant, ...] = ()
