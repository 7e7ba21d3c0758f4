"""Learned pools: other images for the rows of a pool, so that natural training on them gives robust models."""


rule learn_dataset:
    input:
        pool=lambda w: pool_file(study.settings.pools[w.pool].learned.pool, int(w.seed)),
        sources=lambda w: pool_sources(
            study.settings.pools[w.pool].learned.pool, int(w.seed)
        ),
        dataset=lambda w: dataset_file(study.dataset_of_pool(w.pool), int(w.seed)),
        model=lambda w: robust_model(w.pool, int(w.seed)),
    output:
        f"{RESULTS}/learned/{{pool}}/seed{{seed}}.h5",
    log:
        f"{RESULTS}/logs/learned/{{pool}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/learned/{{pool}}/seed{{seed}}.tsv"
    threads: THREADS
    resources:
        gpu=one_gpu,
        mem_mb=memory,
        runtime=24 * 60,
    params:
        settings=lambda w: study.settings.pools[w.pool].learned.model_dump(),
        threat=study.settings.threat.model_dump(),
        architecture=lambda w: slices.architecture_of(
            study, getattr(study.settings.pools[w.pool].learned, "model", None)
        ),
        threads=THREADS,
        tf32=TF32,
        code=lambda w: code_of("learn_dataset.py", *slices.learning_code(study, w.pool)),
    message:
        "learn pool {wildcards.pool}, seed {wildcards.seed}"
    script:
        "../workflow_scripts/learn_dataset.py"
