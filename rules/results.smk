"""Results: every number of the study in one tidy table."""


def run_files(runs):
    """Describe the files that results of some runs are read from, in the study's order."""
    return [
        {
            "run": run,
            "seed": seed,
            "pool": study.runs[run].pool,
            "selection": selection_file(run, seed),
            "attacks": {
                attack: attack_file(run, seed, attack)
                for attack in study.attacks_of(run)
            },
        }
        for run in study.runs
        if run in runs
        for seed in SEEDS
    ]


def result_inputs(runs):
    """Return the paths in `run_files`."""
    return [
        path
        for entry in run_files(runs)
        for path in (entry["selection"], *entry["attacks"].values())
    ]


rule results:
    input:
        result_inputs(study.runs),
    output:
        shown_numbers(f"{RESULTS}/results.csv", "the whole study"),
    log:
        f"{RESULTS}/logs/results.log",
    localrule: True
    params:
        study=study.name,
        files=run_files(study.runs),
        code=code_of("results.py"),
    message:
        "results of {params.study}"
    script:
        "../workflow_scripts/results.py"
