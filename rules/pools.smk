"""Pools: real train rows, then synthetic rows, in one fixed order; or learned rows."""


rule pool:
    input:
        lambda w: pool_sources(w.pool, seed_of(w.at, 0)),
    output:
        f"{RESULTS}/pools/{{pool}}{{at}}.h5",
    log:
        f"{RESULTS}/logs/pools/{{pool}}{{at}}.log",
    localrule: True
    params:
        settings=lambda w: study.settings.pools[w.pool].model_dump(),
        code=code_of("pool.py"),
    message:
        "pool {wildcards.pool}{wildcards.at}"
    script:
        "../workflow_scripts/pool.py"
