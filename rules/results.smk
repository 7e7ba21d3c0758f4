"""Results: every number of the study in one tidy table."""


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
