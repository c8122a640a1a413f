"""The peers' side: the same work in other libraries, each tuned as its users would tune it.

A module runs in the peer's own interpreter, from the root of this repository.
"""
