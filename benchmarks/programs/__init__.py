"""Whole programs, timed from the start of the process to its end."""
