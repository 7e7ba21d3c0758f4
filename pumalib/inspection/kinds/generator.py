"""Generators: the network of a diffusion model."""

from __future__ import annotations

from pumalib.inspection.inspection import Inspection
from pumalib.inspection.weights import describe_weights
from pumalib.lineage.headers import Header


def describe(header: Header, count: int) -> Inspection:
    """Describe a generator."""
    settings = header.settings
    return describe_weights(header, f"a generator, {settings['method']} with network {settings['network']}", {})
