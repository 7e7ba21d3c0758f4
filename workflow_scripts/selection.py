"""Select the rows of one run and their epsilons."""

import logging
from pathlib import Path

from pumalib.jobs.frame import job
from pumalib.selection.settings import SelectionSettings
from pumalib.selection.stage import make_selection

with job(snakemake) as work:
    warnings = make_selection(
        SelectionSettings.model_validate(snakemake.params.settings),
        seed=int(snakemake.wildcards.seed),
        pool=Path(snakemake.input.pool),
        scores=dict(zip(snakemake.params.scores, map(Path, snakemake.input.scores), strict=True)),
        output=Path(snakemake.output[0]),
        maker=work.maker,
    )
    for warning in warnings:
        logging.warning(warning)
