"""The page of a selection: the rows of its pool, and the images of attacks. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pumalib.browsing.attacks import attacked_images
from pumalib.browsing.collection import Collection
from pumalib.browsing.page import Page, Tab
from pumalib.browsing.selections import selection_rows
from pumalib.data.selection import read_selection
from pumalib.errors import ArtifactError
from pumalib.lineage.headers import Header, read_header
from pumalib.lineage.places import place_of


def page_of_selection(
    header: Header,
    *,
    scores: Sequence[Path] = (),
    attacks: Sequence[Path] = (),
    count: int,
    seed: int = 0,
    prepare: Callable[[Collection], Collection] | None = None,
) -> Page:
    """Put together the page of a selection.

    Args:
        header: of the selection, in the folder of its study.
        scores: score tables of its pool, shown before those that it read.
        attacks: attack tables.
        count: how many rows of each at most.
        seed: of the sample that is shown of more.
        prepare: adds to the rows of the pool that are shown, such as perturbed images; None: adds nothing.

    Raises:
        ArtifactError: another kind of file; or a file is missing, damaged or of another pool.
    """
    if header.kind != "selection":
        raise ArtifactError(
            f"expected a selection, such as results/digits/selections/puma-20/seed0.h5, got {header.noun} at "
            f"{header.path}"
        )
    pool = Tab.of(selection_rows(header, scores), count, seed, prepare)
    attacked = [Tab.of(attacked_images(read_header(path)), count, seed) for path in attacks]
    place = place_of(header.path)
    return Page(f"{place.name}, seed {place.seed}", _facts(header, place.study), (pool, *attacked))


def _facts(header: Header, study: str) -> tuple[str, ...]:
    selection = read_selection(header.path)
    kept, total = len(selection.rows), len(selection.reason)
    return (
        f"study {study}",
        f"keeps {kept:,} of {total:,} rows",
        f"prunes {100 * selection.pruned_fraction:.1f} %",
        *((f"mean epsilon {selection.mean_epsilon:.4g}",) if selection.mean_epsilon == selection.mean_epsilon else ()),
    )
