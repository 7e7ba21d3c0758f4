"""Models: one training per run and seed, or a checkpoint from elsewhere. A margin model is a run like any other."""

for rule_name, script_name, epochs_kept, runs_trained in training_rules():

    rule:
        name:
            rule_name
        input:
            dataset=lambda w: dataset_file(study.dataset_of_run(w.run), int(w.seed)),
            pool=lambda w: pool_file(study.trained[w.run].pool, int(w.seed)),
            sources=lambda w: pool_sources(study.trained[w.run].pool, int(w.seed)),
            selection=rules.selection.output[0],
            start=lambda w: start_model(w.run, int(w.seed)),
        output:
            **({"kept": kept_patterns(epochs_kept)} if epochs_kept else {}),
            model=f"{RESULTS}/models/{{run}}/seed{{seed}}/model.safetensors",
            history=f"{RESULTS}/models/{{run}}/seed{{seed}}/history.csv",
            track=f"{RESULTS}/models/{{run}}/seed{{seed}}/track.h5",
            settings=f"{RESULTS}/models/{{run}}/seed{{seed}}/run.yaml",
        log:
            f"{RESULTS}/logs/models/{{run}}/seed{{seed}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/models/{{run}}/seed{{seed}}.tsv"
        wildcard_constraints:
            run=any_of(runs_trained),
        threads: lambda w: THREADS * devices_of(w)
        resources:
            **node_resources(script_name),
            gpu=lambda w: gpus_of(w) * one_gpu(w),
            nodes=nodes_of,
            cpus_per_task=lambda w, threads: threads,
            mem_mb=lambda w, attempt: memory(w, attempt) * devices_of(w),
            runtime=24 * 60,
        params:
            settings=lambda w: slices.run_settings(study, w.run).model_dump(),
            threads=THREADS,
            tf32=TF32,
            watched=lambda w: watched(*start_checkpoint(w.run)),
            code=lambda w: code_of(
                f"{script_of_run(w.run)}.py", *slices.model_code(study, w.run)
            ),
        message:
            "train {wildcards.run}, seed {wildcards.seed}"
        script:
            f"../workflow_scripts/{script_name}.py"


rule import_model:
    input:
        dataset=lambda w: dataset_file(study.dataset_of_run(w.run), int(w.seed)),
        checkpoint=lambda w: ancient(study.imported[w.run].checkpoint),
    output:
        f"{RESULTS}/models/{{run}}/seed{{seed}}/model.safetensors",
    log:
        f"{RESULTS}/logs/models/{{run}}/seed{{seed}}.log",
    wildcard_constraints:
        run=any_of(study.imported),
    resources:
        mem_mb=memory,
        runtime=60,
    params:
        settings=lambda w: slices.imported_settings(study, w.run).model_dump(),
        watched=lambda w: watched(study.imported[w.run].checkpoint),
        code=lambda w: code_of("import_model.py", *slices.imported_code(study, w.run)),
    message:
        "import {wildcards.run}, seed {wildcards.seed}"
    script:
        "../workflow_scripts/import_model.py"
