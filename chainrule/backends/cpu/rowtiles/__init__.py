"""Tiny nets: everything that happens to one row of a batch, in one kernel over tiles of rows.

A row is one lane of a vector. A tile's values stand feature by feature in the first-level cache,
and weights are read number by number.
"""

from chainrule.backends.cpu.rowtiles.fusion import fuse_row_tiles

__all__ = ["fuse_row_tiles"]
