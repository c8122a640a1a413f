"""Networks: layers, activations, initializers, regularizers and constraints."""

from chainrule.nn import activations, constraints, initializers, layers, registry, regularizers
from chainrule.nn.layer import Layer
from chainrule.nn.registry import register
from chainrule.nn.seeding import next_seed, set_seed
from chainrule.nn.summary import Summary

__all__ = [
    "Layer",
    "Summary",
    "activations",
    "constraints",
    "initializers",
    "layers",
    "next_seed",
    "register",
    "registry",
    "regularizers",
    "set_seed",
]
