"""Datasets: any source, divided once, stored in one HDF5 form."""


rule dataset:
    input:
        lambda w: list(map(ancient, dataset_sources(w.dataset))),
    output:
        f"{RESULTS}/datasets/{{dataset}}{{at}}.h5",
    log:
        f"{RESULTS}/logs/datasets/{{dataset}}{{at}}.log",
    localrule: True
    threads: lambda w: threads_to_read(w.dataset)
    params:
        settings=lambda w: study.settings.datasets[w.dataset].model_dump(),
        seed=lambda w: seed_of(w.at, study.settings.datasets[w.dataset].split_seed),
        watched=lambda w: watched(*dataset_sources(w.dataset)),
        code=lambda w: code_of("dataset.py", *slices.dataset_code(study, w.dataset)),
    message:
        "dataset {wildcards.dataset}{wildcards.at}"
    script:
        "../workflow_scripts/dataset.py"
