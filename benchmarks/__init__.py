"""What chainrule takes beside its peers: ``python -m benchmarks --help``.

This file imports nothing, because the peers' interpreters, which lack chainrule, import it too.
"""
