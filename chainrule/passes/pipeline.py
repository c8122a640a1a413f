"""The named, ordered list of passes."""

from __future__ import annotations

from collections.abc import Callable

from chainrule.config import config
from chainrule.graph.graph import Graph
from chainrule.graph.verify import verify
from chainrule.passes.loops import improve_loops
from chainrule.passes.pooling import pool_before_relu
from chainrule.passes.simplify import (
    eliminate_common_subexpressions,
    eliminate_dead_code,
    simplify,
)
from chainrule.passes.sums import take_factors_out_of_sums

PASSES: tuple[tuple[str, Callable[[Graph], Graph]], ...] = (
    ("eliminate dead code", eliminate_dead_code),
    ("simplify", simplify),
    ("pool before relu", pool_before_relu),
    ("eliminate common sub-expressions", eliminate_common_subexpressions),
    ("take factors out of sums", take_factors_out_of_sums),
    ("eliminate common sub-expressions again", eliminate_common_subexpressions),
    ("eliminate dead code again", eliminate_dead_code),
    ("improve loops", lambda graph: improve_loops(graph, optimize)),
)


def optimize(graph: Graph) -> Graph:
    """Run every pass in order; with ``config.check == "debug"`` the graph is verified before and
    after each.
    """
    debug = config.check == "debug"
    if debug:
        verify(graph)
    for _, run in PASSES:
        graph = run(graph)
        if debug:
            verify(graph)
    return graph
