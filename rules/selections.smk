"""Selections: the rows a run keeps, and the epsilon of each."""


rule selection:
    input:
        pool=lambda w: pool_file(study.trained[w.run].pool, int(w.seed)),
        sources=lambda w: pool_sources(study.trained[w.run].pool, int(w.seed)),
        scores=lambda w: [
            score_file(name, w.seed) for name in study.trained[w.run].scores
        ],
    output:
        f"{RESULTS}/selections/{{run}}/seed{{seed}}.h5",
    log:
        f"{RESULTS}/logs/selections/{{run}}/seed{{seed}}.log",
    localrule: True
    params:
        settings=lambda w: slices.selection_settings(study, w.run).model_dump(),
        scores=lambda w: list(study.trained[w.run].scores),
        code=lambda w: code_of("selection.py", *slices.selection_code(study, w.run)),
    message:
        "select rows of {wildcards.run}, seed {wildcards.seed}"
    script:
        "../workflow_scripts/selection.py"
