"""Reports: tables and figures. Each is a target of its own name and builds only what it needs."""

from pumalib.browsing.assets import asset_digests
from pumalib.reporting.study_view import StudyFiles
from pumalib.study.reports import KINDS


def training_benchmark(run, seed):
    return rules.model.benchmark.format(run=run, seed=seed)


def learning_benchmark(pool, seed):
    return rules.learn_dataset.benchmark.format(pool=pool, seed=seed)


def attack_benchmark(run, seed, attack):
    return rules.attack.benchmark.format(run=run, seed=seed, attack=attack)


def score_benchmarks(score, seed):
    """Return a benchmark for each job that a score takes, apart from joining shards."""
    for name in ("tracked_score", "file_score"):
        if score in SCORES_OF_RULE[name]:
            return [getattr(rules, name).benchmark.format(score=score, seed=seed)]
    return [
        rules.score_shard.benchmark.format(score=score, seed=seed, shard=shard)
        for shard in range(study.settings.scores[score].shards)
    ]


FILES = StudyFiles(
    dataset=dataset_file,
    pool=pool_file,
    pool_sources=pool_sources,
    score=score_file,
    selection=selection_file,
    history=history_file,
    attack=attack_file,
    kept_attack=kept_attack_file,
    results=run_files,
    training_benchmark=training_benchmark,
    learning_benchmark=learning_benchmark,
    attack_benchmark=attack_benchmark,
    score_benchmarks=score_benchmarks,
)

REPORT_INPUTS = []

for report_name, report_settings in study.settings.reports.items():
    report_needs = report_settings.needs(study, FILES)
    REPORT_INPUTS += report_needs.inputs

    rule:
        name:
            report_name
        input:
            sorted(set(report_needs.inputs)),
        output:
            **report_outputs(report_name),
        log:
            f"{RESULTS}/logs/reports/{report_name}.log",
        localrule: not report_settings.is_heavy
        resources:
            mem_mb=memory,
            runtime=2 * 60,
        params:
            settings=report_settings.model_dump(),
            arguments=report_needs.arguments,
            code={
                **code_of("report.py", f"{KINDS}.{report_settings.kind}"),
                **(asset_digests() if report_settings.writes_page else {}),
            },
        message:
            f"report {report_name}"
        script:
            "../workflow_scripts/report.py"


def every_file():
    """Return every file of the study: Snakemake makes a deleted file again only if it is a target."""
    files = [*rules.results.output]
    for name in study.settings.reports:
        files += report_files(name)
    files += [path for path in REPORT_INPUTS if path.startswith(f"{RESULTS}/attacks/")]
    for seed in SEEDS:
        for run in study.trained:
            files.append(selection_file(run, seed))
            files += model_files(run, seed)
        files += [model_file(run, seed) for run in study.imported]
        for run in study.runs:
            files += [attack_file(run, seed, name) for name in study.attacks_of(run)]
        for pool in pools_of_runs():
            files += [pool_file(pool, seed), *pool_sources(pool, seed)]
        files += [score_file(score, seed) for score in study.settings.scores]
        files += [
            path
            for score in SCORES_OF_RULE["score"]
            for path in shard_files(score, seed)
        ]
        files += generator_files(seed)
    return sorted(set(files))
