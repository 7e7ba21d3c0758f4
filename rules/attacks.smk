"""Attacks: each model evaluated, one row per image; the kept epochs that reports ask for; worst cases over attacks."""

ATTACKING = [name for name in study.settings.attacks if name not in study.worst_of]


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
    wildcard_constraints:
        attack=any_of(ATTACKING),
    threads: THREADS
    resources:
        gpu=one_gpu,
        mem_mb=memory,
        runtime=8 * 60,
    params:
        settings=lambda w: slices.attack_settings(study, w.attack),
        threat=study.settings.threat.model_dump(),
        architecture=lambda w: slices.architecture_of(study, w.run),
        threads=THREADS,
        tf32=TF32,
        code=lambda w: code_of("attack.py", *slices.attack_code(study, w.run, w.attack)),
    message:
        "attack {wildcards.run}, seed {wildcards.seed}, with {wildcards.attack}"
    script:
        "../workflow_scripts/attack.py"


use rule attack as attack_kept with:
    input:
        dataset=lambda w: dataset_file(study.dataset_of_run(w.run), int(w.seed)),
        model=KEPT_WEIGHTS,
    output:
        f"{RESULTS}/attacks/{{run}}/seed{{seed}}/{{attack}}/epoch{{epoch}}.h5",
    log:
        f"{RESULTS}/logs/attacks/{{run}}/seed{{seed}}/{{attack}}/epoch{{epoch}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/attacks/{{run}}/seed{{seed}}/{{attack}}/epoch{{epoch}}.tsv"
    message:
        "attack {wildcards.run} after epoch {wildcards.epoch}, seed {wildcards.seed}, with {wildcards.attack}"


rule worst_attack:
    input:
        attacks=lambda w: [
            attack_file(w.run, w.seed, attack) for attack in study.worst_of[w.attack]
        ],
    output:
        f"{RESULTS}/attacks/{{run}}/seed{{seed}}/{{attack}}.h5",
    log:
        f"{RESULTS}/logs/attacks/{{run}}/seed{{seed}}/{{attack}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/attacks/{{run}}/seed{{seed}}/{{attack}}.tsv"
    wildcard_constraints:
        attack=any_of(study.worst_of),
    localrule: True
    params:
        settings=lambda w: slices.attack_settings(study, w.attack),
        threat=study.settings.threat.model_dump(),
        tf32=TF32,
        code=code_of("worst_attack.py"),
    message:
        "worst case of {wildcards.run}, seed {wildcards.seed}, over the attacks of {wildcards.attack}"
    script:
        "../workflow_scripts/worst_attack.py"
