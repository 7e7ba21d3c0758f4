"""Scores: the pool looked at through a trained model, in shards, then joined."""

from pumalib.scores.settings import score_module, user_module


def scored_model(score, seed):
    """Return the weights a score looks through."""
    model = study.settings.scores[score].model
    return model.checkpoint or model_file(
        model.run, seed if model.seed is None else model.seed
    )


def scored_architecture(score):
    """Return the module that defines the architecture looked through, where the study knows it."""
    run = study.settings.scores[score].model.run
    return architecture_module(study.runs[run].architecture.name) if run else None


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
        gpu=USES_GPU,
    params:
        settings=lambda w: study.settings.scores[w.score].model_dump(),
        norm=study.settings.threat.norm,
        threads=THREADS,
        code=lambda w: code_of(
            "score_shard.py",
            score_module(study.settings.scores[w.score]),
            user_module(study.settings.scores[w.score]),
            scored_architecture(w.score),
        ),
    message:
        "score {wildcards.score}, seed {wildcards.seed}, shard {wildcards.shard}"
    script:
        "../workflow_scripts/score_shard.py"


rule score:
    input:
        pool=lambda w: pool_file(study.score_pool(w.score), int(w.seed)),
        sources=lambda w: pool_sources(study.score_pool(w.score), int(w.seed)),
        shards=lambda w: [
            rules.score_shard.output[0].format(score=w.score, seed=w.seed, shard=shard)
            for shard in range(study.settings.scores[w.score].shards)
        ],
    output:
        f"{RESULTS}/scores/{{score}}/seed{{seed}}.h5",
    log:
        f"{RESULTS}/logs/scores/{{score}}/seed{{seed}}.log",
    params:
        settings=lambda w: study.settings.scores[w.score].model_dump(
            exclude={"shards", "batch_size"}
        ),
        code=code_of("score.py"),
    message:
        "join score {wildcards.score}, seed {wildcards.seed}"
    script:
        "../workflow_scripts/score.py"
