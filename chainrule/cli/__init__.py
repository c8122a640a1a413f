"""The command line: train, use and inspect networks on tables without writing Python."""

from chainrule.cli.app import main

__all__ = ["main"]
