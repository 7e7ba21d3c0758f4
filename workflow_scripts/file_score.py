"""Take the scores of a pool from a file of the user's own."""

from pathlib import Path

from pydantic import TypeAdapter

from pumalib.jobs.frame import job
from pumalib.scores.file import score
from pumalib.scores.settings import ScoreSettings

with job(snakemake) as work:
    score(
        TypeAdapter(ScoreSettings).validate_python(snakemake.params.settings),
        Path(snakemake.input.pool),
        Path(snakemake.input.file),
        Path(snakemake.output[0]),
        digest=snakemake.params.watched[snakemake.input.file],
        maker=work.maker,
    )
