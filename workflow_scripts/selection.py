"""Select the rows of one run and their epsilons."""

import logging
from pathlib import Path

from pumalib.jobs.frame import job
from pumalib.selection.stage import SelectionPlan, make_selection

with job(snakemake.log[0], snakemake.config["errors_file"], snakemake.params.code):
    plan = SelectionPlan.from_settings(snakemake.params.settings, seed=int(snakemake.wildcards.seed))
    warnings = make_selection(
        plan,
        pool=Path(snakemake.input.pool),
        scores=dict(zip(snakemake.params.scores, map(Path, snakemake.input.scores), strict=True)),
        output=Path(snakemake.output[0]),
        settings=snakemake.params.settings,
        code=snakemake.params.code,
    )
    for warning in warnings:
        logging.warning(warning)
