"""Scores: the pool looked at through a trained model, in shards, then joined; what runs gathered while training; or a file of the user's own."""

from pumalib.scores.settings import whole_score_rule

SCORES_OF_RULE = {
    name: [n for n, s in study.settings.scores.items() if whole_score_rule(s) == name]
    for name in ("score", "tracked_score", "file_score")
}


rule score_shard:
    input:
        pool=lambda w: pool_file(study.score_pool(w.score), int(w.seed)),
        sources=lambda w: pool_sources(study.score_pool(w.score), int(w.seed)),
        model=lambda w: scored_model(w.score, int(w.seed)),
    output:
        f"{RESULTS}/scores/{{score}}/seed{{seed}}/shard{{shard}}.h5",
    log:
        f"{RESULTS}/logs/scores/{{score}}/seed{{seed}}/shard{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/scores/{{score}}/seed{{seed}}/shard{{shard}}.tsv"
    threads: THREADS
    resources:
        gpu=one_gpu,
        mem_mb=memory,
        runtime=8 * 60,
    params:
        settings=lambda w: study.settings.scores[w.score].model_dump(),
        norm=study.settings.threat.norm,
        architecture=lambda w: slices.architecture_of(
            study, study.settings.scores[w.score].model.run
        ),
        threads=THREADS,
        tf32=TF32,
        watched=lambda w: watched(*checkpoint_of(w.score)),
        code=lambda w: code_of("score_shard.py", *slices.score_code(study, w.score)),
    message:
        "score {wildcards.score}, seed {wildcards.seed}, shard {wildcards.shard}"
    script:
        "../workflow_scripts/score_shard.py"


rule score:
    input:
        pool=lambda w: pool_file(study.score_pool(w.score), int(w.seed)),
        sources=lambda w: pool_sources(study.score_pool(w.score), int(w.seed)),
        shards=lambda w: shard_files(w.score, w.seed),
    output:
        f"{RESULTS}/scores/{{score}}/seed{{seed}}.h5",
    log:
        f"{RESULTS}/logs/scores/{{score}}/seed{{seed}}.log",
    wildcard_constraints:
        score=any_of(SCORES_OF_RULE["score"]),
    localrule: True
    params:
        settings=lambda w: study.settings.scores[w.score].model_dump(
            exclude={"shards", "batch_size"}
        ),
        tf32=TF32,
        code=code_of("score.py"),
    message:
        "join score {wildcards.score}, seed {wildcards.seed}"
    script:
        "../workflow_scripts/score.py"


rule tracked_score:
    input:
        pool=lambda w: pool_file(study.score_pool(w.score), int(w.seed)),
        sources=lambda w: pool_sources(study.score_pool(w.score), int(w.seed)),
        tracks=lambda w: [track_file(run, w.seed) for run in tracked_runs(w.score)],
    output:
        f"{RESULTS}/scores/{{score}}/seed{{seed}}.h5",
    log:
        f"{RESULTS}/logs/scores/{{score}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/scores/{{score}}/seed{{seed}}.tsv"
    wildcard_constraints:
        score=any_of(SCORES_OF_RULE["tracked_score"]),
    localrule: True
    params:
        settings=lambda w: study.settings.scores[w.score].model_dump(),
        tf32=TF32,
        code=lambda w: code_of("tracked_score.py", *slices.score_code(study, w.score)),
    message:
        "gather score {wildcards.score}, seed {wildcards.seed}"
    script:
        "../workflow_scripts/tracked_score.py"


rule file_score:
    input:
        pool=lambda w: pool_file(study.score_pool(w.score), int(w.seed)),
        sources=lambda w: pool_sources(study.score_pool(w.score), int(w.seed)),
        file=lambda w: ancient(scores_file_of(w.score, int(w.seed))),
    output:
        f"{RESULTS}/scores/{{score}}/seed{{seed}}.h5",
    log:
        f"{RESULTS}/logs/scores/{{score}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/scores/{{score}}/seed{{seed}}.tsv"
    wildcard_constraints:
        score=any_of(SCORES_OF_RULE["file_score"]),
    localrule: True
    params:
        settings=lambda w: study.settings.scores[w.score].model_dump(),
        watched=lambda w: watched(scores_file_of(w.score, int(w.seed))),
        code=code_of("file_score.py"),
    message:
        "read score {wildcards.score}, seed {wildcards.seed}"
    script:
        "../workflow_scripts/file_score.py"
