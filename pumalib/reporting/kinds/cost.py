"""A report of what runs cost: rows, draws, attack steps and passes through networks, with all that they depend on."""

from __future__ import annotations

from collections.abc import Sequence

from pumalib.reporting.costs import cost_table
from pumalib.reporting.kinds.cost_page import cost_page, draw_cost
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.settings.cost import CostPart, CostSettings


def make(settings: CostSettings, *, parts: Sequence[CostPart], left_out: Sequence[str] = ()) -> ReportParts:
    """Make the table and its figure from all that the runs stand on; models trained elsewhere are left out."""
    table = cost_table(parts)
    return ReportParts(
        table,
        draw_cost(table, settings),
        "Passes of each run and all that it depends on",
        "",
        text_above=cost_page(table, parts, settings, left_out),
    )
