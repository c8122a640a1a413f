"""The probes, a file for each family of faults."""
