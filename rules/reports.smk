"""Reports: tables and figures. Each is a target of its own name and builds only what it needs."""

from pumalib.study.check_reports import runs_needed
from pumalib.reporting.colours import run_styles

RESULT_KINDS = ("comparison", "trade_off", "ratio_curves")
HEAVY_KINDS = ("nearest_neighbours",)  # too much work for the machine that submits jobs


def report_seed(settings):
    return SEEDS[0] if settings.seed is None else settings.seed


def report_inputs(settings):
    """Return the input files of a report, by role."""
    if settings.kind in RESULT_KINDS:
        return {"results": result_inputs(runs_needed(study, settings))}
    if settings.kind == "training_curves":
        return {"histories": [entry["history"] for entry in history_files(settings)]}
    if settings.kind == "robustness_curves":
        return {"attacks": [entry["table"] for entry in attack_tables(settings)]}
    if settings.kind == "cost":
        return {"files": cost_inputs(settings)}
    if settings.kind == "score_agreement":
        return agreement_inputs(settings)
    if settings.kind == "epsilon_distribution":
        return {
            "selections": [entry["selection"] for entry in selection_files(settings)]
        }
    if settings.kind == "pruned_rows":
        return pruned_inputs(settings.run, report_seed(settings))
    return pool_report_inputs(settings, report_seed(settings))


def agreement_files(settings):
    """Describe the scores that are held against each other, seed by seed."""
    pool = study.score_pool(settings.scores[0])
    return [
        {
            "seed": seed,
            "pool": pool_file(pool, seed),
            "scores": [score_file(score, seed) for score in settings.scores],
        }
        for seed in SEEDS
    ]


def agreement_inputs(settings):
    """Return the paths in `agreement_files`, and what the pools stand on."""
    pool = study.score_pool(settings.scores[0])
    files = agreement_files(settings)
    return {
        "pools": sorted({entry["pool"] for entry in files}),
        "sources": sorted(
            {path for seed in SEEDS for path in pool_sources(pool, seed)}
        ),
        "scores": [path for entry in files for path in entry["scores"]],
    }


def selection_files(settings):
    """Describe the selections of the runs of a report."""
    return [
        {"run": run, "seed": seed, "selection": selection_file(run, seed)}
        for run in runs_needed(study, settings)
        for seed in SEEDS
    ]


def pruned_inputs(run, seed):
    """Return the selection of a run, and what its rows, images and scores stand in."""
    pool = study.runs[run].pool
    return {
        "selection": selection_file(run, seed),
        "pool": pool_file(pool, seed),
        "sources": pool_sources(pool, seed),
        "scores": [score_file(score, seed) for score in study.runs[run].scores],
    }


def pool_report_inputs(settings, seed):
    """Return the input files of a report about a pool or a score."""
    is_of_score = settings.kind in ("margin_histogram", "margin_classes")
    pool = study.score_pool(settings.score) if is_of_score else settings.pool
    files = {"pool": pool_file(pool, seed), "sources": pool_sources(pool, seed)}
    if not is_of_score:
        dataset = study.settings.pools[pool].dataset
        return {**files, "dataset": dataset_file(dataset, seed)}
    named = (settings.score, getattr(settings, "beside", None))
    files["scores"] = [score_file(score, seed) for score in named if score is not None]
    if getattr(settings, "run", None) is not None:
        files["selection"] = selection_file(settings.run, seed)
    return files


def history_files(settings):
    """Describe the histories of training curves: the runs in their order, then the baseline."""
    return [
        {"run": run, "seed": seed, "history": history_file(run, seed)}
        for run in runs_needed(study, settings)
        for seed in SEEDS
    ]


def attack_tables(settings):
    """Describe the attack tables of robustness curves: the runs in their order, then the baseline."""
    return [
        {"run": run, "seed": seed, "table": attack_file(run, seed, settings.attack)}
        for run in runs_needed(study, settings)
        for seed in SEEDS
    ]


def cost_parts(settings):
    """Describe every training, score and evaluation that the runs of a cost report stand on."""
    return [
        part
        for run in runs_needed(study, settings)
        for seed in SEEDS
        for part in run_parts(run, seed, settings.seconds)
    ]


def run_parts(run, seed, with_seconds):
    needed = {"run": run, "seed": seed}
    parts = [{**needed, "kind": "training", **training_part(run, seed, with_seconds)}]
    models, scores = study.behind_run(run, seed)
    for model, model_seed in models:
        part = training_part(model, model_seed, with_seconds)
        parts.append({**needed, "kind": "margin model", **part})
    for score, score_seed in scores:
        parts += score_parts(needed, score, score_seed, with_seconds)
    parts += [
        {**needed, "kind": "learned pool", **learning_part(*learned, with_seconds)}
        for learned in study.learned_behind(run, seed)
    ]
    if with_seconds:
        parts += [
            {
                **needed,
                "kind": "evaluation",
                "name": attack,
                "benchmarks": (
                    rules.attack.benchmark.format(run=run, seed=seed, attack=attack),
                ),
            }
            for attack in study.attacks_of(run)
        ]
    return parts


def learning_part(pool, seed, with_seconds):
    benchmark = rules.learn_dataset.benchmark.format(pool=pool, seed=seed)
    return {"name": pool, "benchmarks": (benchmark,) if with_seconds else ()}


def training_part(run, seed, with_seconds):
    benchmark = rules.model.benchmark.format(run=run, seed=seed)
    return {
        "name": run,
        "settings": slices.run_settings(study, run).model_dump(),
        "file": selection_file(run, seed),
        "benchmarks": (benchmark,) if with_seconds else (),
    }


def score_parts(needed, score, seed, with_seconds):
    """Describe one score, and the checkpoint behind it where the study did not train its model."""
    settings = study.settings.scores[score]
    shards = range(getattr(settings, "shards", 0) if with_seconds else 0)
    benchmarks = [
        rules.score_shard.benchmark.format(score=score, seed=seed, shard=shard)
        for shard in shards
    ]
    if with_seconds and score in TRACKED:
        benchmarks.append(rules.tracked_score.benchmark.format(score=score, seed=seed))
    part = {
        "name": score,
        "settings": settings.model_dump(),
        "gathered": gathered_by(score),
        "file": score_file(score, seed),
        "pool": pool_file(study.score_pool(score), seed),
        "benchmarks": tuple(benchmarks),
    }
    parts = [{**needed, "kind": "score", **part}]
    model = getattr(settings, "model", None)
    if model is not None and model.checkpoint is not None:
        parts.append({**needed, "kind": "margin model", "name": model.checkpoint})
    return parts


def gathered_by(score):
    """Describe what the runs behind a score of tracks gathered for it."""
    settings = study.settings.scores[score]
    tracks = {run: study.runs[run].track for run in tracked_runs(score)}
    for quantity in getattr(settings, "quantities", ()):
        if all(quantity in track.names for track in tracks.values()):
            return [
                {
                    "training": study.runs[run].training.model_dump(),
                    "track": {quantity: track.model_dump()[quantity]},
                }
                for run, track in tracks.items()
            ]
    return []


def cost_inputs(settings):
    """Return the paths in `cost_parts`, and what the pools stand on."""
    files = []
    for part in cost_parts(settings):
        files += [part[key] for key in ("file", "pool") if key in part]
        files += part.get("benchmarks", ())
    for run in runs_needed(study, settings):
        for seed in SEEDS:
            for score, at in study.behind_run(run, seed)[1]:
                files += pool_sources(study.score_pool(score), at)
    return sorted(set(files))


def styles_of(settings):
    """Return colour and marker of the report's runs: theirs in every figure of the study."""
    styles = run_styles(list(study.runs))
    return {run: list(styles[run]) for run in runs_needed(study, settings)}


def report_params(settings):
    """Return what a report depends on beside its files."""
    params = {"settings": settings.model_dump(), "study": study.name}
    if settings.kind in RESULT_KINDS:
        files = run_files(runs_needed(study, settings))
        return {**params, "files": files, "styles": styles_of(settings)}
    if settings.kind == "training_curves":
        files = history_files(settings)
        return {**params, "files": files, "styles": styles_of(settings)}
    if settings.kind == "robustness_curves":
        params |= {"files": attack_tables(settings), "styles": styles_of(settings)}
        return {**params, "threat": study.settings.threat.model_dump()}
    if settings.kind == "cost":
        return {**params, "parts": cost_parts(settings)}
    if settings.kind == "score_agreement":
        return {**params, "files": agreement_files(settings)}
    if settings.kind == "epsilon_distribution":
        params |= {"files": selection_files(settings), "styles": styles_of(settings)}
        return {**params, "threat": study.settings.threat.model_dump()}
    if settings.kind == "margin_classes":
        return {**params, "epsilon": study.settings.threat.epsilon}
    if settings.kind == "margin_histogram":
        cuts = () if settings.run is None else study.runs[settings.run].prune
        params["prune"] = [cut.model_dump() for cut in cuts]
        params["epsilon"] = study.settings.threat.epsilon
    return params


for report_name, report_settings in study.settings.reports.items():

    rule:
        name:
            report_name
        input:
            **report_inputs(report_settings),
        output:
            **report_outputs(report_name),
        log:
            f"{RESULTS}/logs/reports/{report_name}.log",
        localrule: report_settings.kind not in HEAVY_KINDS
        resources:
            mem_mb=memory,
            runtime=2 * 60,
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
            for pool in study.pools_behind(study.runs[run].pool):
                files += [pool_file(pool, seed), *pool_sources(pool, seed)]
            files.append(selection_file(run, seed))
            files += expand(rules.model.output, run=run, seed=seed)
            files += [attack_file(run, seed, name) for name in study.attacks_of(run)]
        files += [score_file(score, seed) for score in study.settings.scores]
        files += [path for score in LOOKING for path in shard_files(score, seed)]
        files += generator_files(seed)
    return sorted(set(files))
