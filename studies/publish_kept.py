"""Write which rows the runs of a study kept, and their margins, in small form: as rows of the file they are from.

    python studies/publish_kept.py results/oracle --source data/oracle/train.npz --pool small --score margin \
        --runs puma-20 puma-40 --out studies/kept/oracle.npz

Images are found in the source by their bytes; of equal ones the first counts. The file holds, for each seed:
`seed<k>/rows` [N], the pool's rows as rows of the source; `seed<k>/synthetic` [N], packed bits: those that stand for
synthetic images; `seed<k>/margin` [N] float16; and `<run>/seed<k>` [N], packed bits: those that the run kept.
`kept_rows` reads it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pumalib.data.image_readers import read_all
from pumalib.data.pool import open_pool
from pumalib.data.selection import read_selection
from pumalib.data.sources.npz import read_npz
from pumalib.scores.table import read_scores


class Kept(NamedTuple):
    """What a run was trained on, in one seed.

    Attributes:
        rows: [K] rows of the source.
        is_synthetic: [K] bool, whether a row stands for a synthetic image.
        margin: [K] float16.
    """

    rows: NDArray[np.integer]
    is_synthetic: NDArray[np.bool_]
    margin: NDArray[np.float16]


def kept_rows(path: Path, run: str, seed: int) -> Kept:
    """Read what a run kept."""
    with np.load(path) as archive:
        rows, margin = archive[f"seed{seed}/rows"], archive[f"seed{seed}/margin"]
        kept, synthetic = (
            np.unpackbits(archive[name], count=len(rows)).astype(bool)
            for name in (f"{run}/seed{seed}", f"seed{seed}/synthetic")
        )
    return Kept(rows[kept], synthetic[kept], margin[kept])


def rows_in(source: NDArray[np.uint8], images: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return where images [N, ...] stand in the source [M, ...]."""
    first: dict[bytes, int] = {}
    for row, image in enumerate(source):
        first.setdefault(image.tobytes(), row)
    missing = [row for row, image in enumerate(images) if image.tobytes() not in first]
    if missing:
        sys.exit(f"expected images of the source alone, got {len(missing)} others, the first in row {missing[0]}")
    return np.array([first[image.tobytes()] for image in images], np.int32)


def main() -> None:
    """Write the file."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    arguments.add_argument("results", type=Path)
    arguments.add_argument("--source", required=True, help="npz file that the pool's images are from")
    arguments.add_argument("--pool", required=True)
    arguments.add_argument("--score", required=True, help="margins of that pool")
    arguments.add_argument("--runs", nargs="+", required=True)
    arguments.add_argument("--out", type=Path, required=True)
    chosen = arguments.parse_args()
    source = read_all(read_npz(chosen.source).images)
    found: dict[str, NDArray[np.generic]] = {}
    for path in sorted((chosen.results / "pools" / chosen.pool).glob("seed*.h5")):
        pool, seed = open_pool(path), path.stem
        found[f"{seed}/rows"] = rows_in(source, read_all(pool.images))
        found[f"{seed}/synthetic"] = np.packbits(pool.source > 0)
        found[f"{seed}/margin"] = read_scores(chosen.results / "scores" / chosen.score / path.name).score.astype(
            np.float16
        )
        for run in chosen.runs:
            kept = np.zeros(len(pool.labels), bool)
            kept[read_selection(chosen.results / "selections" / run / path.name).rows] = True
            found[f"{run}/{seed}"] = np.packbits(kept)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(chosen.out, **found)


if __name__ == "__main__":
    main()
