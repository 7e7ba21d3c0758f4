"""Attacks: each model evaluated, one row an image."""

from pumalib.attacks.settings import NOT_THE_ATTACK, attack_module


rule attack:
    input:
        dataset=lambda w: dataset_file(study.dataset_of_run(w.run), int(w.seed)),
        model=rules.model.output.model,
    output:
        f"{RESULTS}/attacks/{{run}}/seed{{seed}}/{{attack}}.h5",
    log:
        f"{RESULTS}/logs/attacks/{{run}}/seed{{seed}}/{{attack}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/attacks/{{run}}/seed{{seed}}/{{attack}}.tsv"
    threads: THREADS
    resources:
        gpu=GPUS_A_JOB,
        mem_mb=memory,
        runtime=8 * 60,
    params:
        settings=lambda w: study.settings.attacks[w.attack].model_dump(
            exclude=NOT_THE_ATTACK
        ),
        threat=study.settings.threat.model_dump(),
        threads=THREADS,
        code=lambda w: code_of(
            "attack.py",
            attack_module(study.settings.attacks[w.attack].method),
            architecture_module(study.runs[w.run].architecture.name),
        ),
    message:
        "attack {wildcards.run}, seed {wildcards.seed}, with {wildcards.attack}"
    script:
        "../workflow_scripts/attack.py"
