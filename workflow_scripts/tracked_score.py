"""Score a pool by what runs gathered while they trained."""

from pathlib import Path

from pydantic import TypeAdapter

from pumalib.jobs.frame import job
from pumalib.scores.settings import ScoreSettings
from pumalib.scores.tracked_stage import score_tracks

with job(snakemake) as work:
    score_tracks(
        TypeAdapter(ScoreSettings).validate_python(snakemake.params.settings),
        Path(snakemake.input.pool),
        [Path(path) for path in snakemake.input.tracks],
        Path(snakemake.output[0]),
        name=snakemake.wildcards.score,
        seed=int(snakemake.wildcards.seed),
        maker=work.maker,
    )
