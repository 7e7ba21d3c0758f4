"""Write the pages of the study beside its results."""

from pathlib import Path

from pumalib.jobs.frame import job
from pumalib.reporting.study_page import write_study_page
from pumalib.reporting.web_page import write_settings_page, write_web_page

with job(snakemake):
    params, output = snakemake.params, snakemake.output
    reports = [Path(path) for path in snakemake.input.reports]
    web = [Path(path) for path in output.web]
    write_study_page(params.about, Path(snakemake.input.table), reports, params.folders, Path(output.page))
    write_settings_page(params.study, params.settings, Path(output.settings))
    for page in web:
        report, drawn = page.with_suffix(".md"), page.with_suffix(".png")
        write_web_page(page.stem, report.read_text(encoding="utf-8"), [drawn], page)
