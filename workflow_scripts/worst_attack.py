"""Take the worst case over attacks on one model, image by image."""

from pathlib import Path

from pumalib.attacks.settings import WorstOfSettings
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.evaluation.worst_of import write_worst_case
from pumalib.jobs.frame import job

with job(snakemake) as work:
    write_worst_case(
        WorstOfSettings.model_validate(snakemake.params.settings),
        ThreatSettings.model_validate(snakemake.params.threat),
        [Path(path) for path in snakemake.input.attacks],
        Path(snakemake.output[0]),
        seed=int(snakemake.wildcards.seed),
        maker=work.maker,
    )
