"""A warning for runs that train with many negative epsilons: rows that the margin model got wrong."""

from __future__ import annotations

from collections.abc import Sequence

from pumalib.data.selection import read_selection
from pumalib.results.collect import RunFiles

MANY_NEGATIVE = 0.1
"""Share of negative epsilons among the kept rows above which a report warns. A choice of ours."""


def negative_epsilon_warnings(files: Sequence[RunFiles]) -> list[str]:
    """Return a warning that names the runs, with the largest share over seeds; none: nothing to warn of."""
    shares: dict[str, float] = {}
    for entry in files:
        epsilons = read_selection(entry.selection).epsilons
        shares[entry.run] = max(shares.get(entry.run, 0.0), float((epsilons < 0).mean()))
    many = [f"`{run}` ({100 * share:.1f} %)" for run, share in shares.items() if share > MANY_NEGATIVE]
    if not many:
        return []
    return [
        f"**Warning:** more than {100 * MANY_NEGATIVE:g} % of the rows kept have a negative epsilon in "
        f"{', '.join(many)}: wrong labels, or a margin model that is often wrong. PUMA perturbs these rows toward "
        "their label, which cost robustness where labels were wrong: check the labels before trusting these runs."
    ]
