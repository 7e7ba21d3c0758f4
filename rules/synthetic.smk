"""Synthetic sets: generators that the study trains, and the images that join a pool."""

from pumalib.synthesis.settings import SAMPLING_KEYS


rule generator:
    input:
        dataset=lambda w: dataset_file(
            study.settings.generators[w.generator].dataset, int(w.seed)
        ),
        score=lambda w: generator_score(w.generator, int(w.seed)),
    output:
        f"{RESULTS}/generators/{{generator}}/seed{{seed}}/model.safetensors",
    log:
        f"{RESULTS}/logs/generators/{{generator}}/seed{{seed}}.log",
    threads: THREADS
    resources:
        gpu=one_gpu,
        mem_mb=memory,
        runtime=24 * 60,
    params:
        settings=lambda w: study.settings.generators[w.generator].model_dump(
            exclude=SAMPLING_KEYS
        ),
        threads=THREADS,
        tf32=TF32,
        code=code_of("generator.py"),
    message:
        "train generator {wildcards.generator}, seed {wildcards.seed}"
    script:
        "../workflow_scripts/generator.py"


rule synthetic:
    input:
        dataset=lambda w: dataset_file(
            study.settings.pools[w.pool].dataset, seed_of(w.at, 0)
        ),
        generator=generator_file,
        model=lambda w: guiding_model(w.pool, seed_of(w.at, 0)),
        files=lambda w: list(map(ancient, synthetic_files(w.pool))),
    output:
        f"{RESULTS}/synthetic/{{pool}}{{at}}.h5",
    log:
        f"{RESULTS}/logs/synthetic/{{pool}}{{at}}.log",
    threads: THREADS
    resources:
        gpu=lambda w: one_gpu(w) if generator_of(w.pool) else 0,
        mem_mb=memory,
        runtime=8 * 60,
    params:
        settings=lambda w: study.settings.pools[w.pool].synthetic.model_dump(),
        generator=lambda w: (
            study.settings.generators[generator_of(w.pool)].model_dump()
            if generator_of(w.pool)
            else None
        ),
        architecture=lambda w: slices.architecture_of(
            study, study.settings.pools[w.pool].guide
        ),
        seed=lambda w: seed_of(w.at, 0),
        threads=THREADS,
        tf32=TF32,
        watched=lambda w: watched(*synthetic_files(w.pool)),
        code=lambda w: code_of("synthetic.py", *slices.synthetic_code(study, w.pool)),
    message:
        "synthetic set of pool {wildcards.pool}{wildcards.at}"
    script:
        "../workflow_scripts/synthetic.py"
