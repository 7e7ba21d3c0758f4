"""Reports: tables and figures. Each is a target of its own name and builds only what it needs."""


def report_runs(settings):
    """Return the runs a report of results needs; none named: all."""
    references = [settings.baseline, getattr(settings, "control", None)]
    return list(study.runs) if settings.runs is None else [*settings.runs, *references]


def report_seed(settings):
    return SEEDS[0] if settings.seed is None else settings.seed


def report_inputs(settings):
    """Return the input files of a report, by role."""
    if settings.kind in ("comparison", "trade_off"):
        return {"results": result_inputs(report_runs(settings))}
    seed = report_seed(settings)
    pool = (
        study.score_pool(settings.score)
        if settings.kind == "margin_histogram"
        else settings.pool
    )
    files = {"pool": pool_file(pool, seed), "sources": pool_sources(pool, seed)}
    if settings.kind == "margin_histogram":
        return {
            **files,
            "score": score_file(settings.score, seed),
            "selection": selection_file(settings.run, seed),
        }
    return {**files, "dataset": dataset_file(study.settings.pools[pool].dataset, seed)}


def report_params(settings):
    """Return what a report depends on beside its files."""
    params = {"settings": settings.model_dump(), "study": study.name}
    if settings.kind in ("comparison", "trade_off"):
        return {**params, "files": run_files(report_runs(settings))}
    if settings.kind == "margin_histogram":
        params["prune"] = [cut.model_dump() for cut in study.runs[settings.run].prune]
        params["epsilon"] = study.settings.threat.epsilon
    return params


for report_name, report_settings in study.settings.reports.items():

    rule:
        name:
            report_name
        input:
            **report_inputs(report_settings),
        output:
            **{
                key: f"{RESULTS}/reports/{report_name}.{suffix}"
                for key, suffix in REPORT_SUFFIXES.items()
            },
        log:
            f"{RESULTS}/logs/reports/{report_name}.log",
        params:
            **report_params(report_settings),
            code=code_of("report.py"),
        message:
            f"report {report_name}"
        script:
            "../workflow_scripts/report.py"


def every_file():
    """Return every file of the study: Snakemake makes a deleted file again only if it is a target."""
    files = [*rules.results.output]
    for name in study.settings.reports:
        files += report_files(name)
    for seed in SEEDS:
        for run in study.runs:
            pool = study.runs[run].pool
            files += [
                pool_file(pool, seed),
                *pool_sources(pool, seed),
                selection_file(run, seed),
            ]
            files += expand(rules.model.output, run=run, seed=seed)
        files += [score_file(score, seed) for score in study.settings.scores]
    return sorted(set(files))
