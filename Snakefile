"""PUMA, from images to a results table. Rules stand in the order in which the data walk; see docs/architecture.md."""

if not workflow.overwrite_configfiles:

    configfile: "config.yaml"


include: "rules/common.smk"
include: "rules/gpus.smk"
include: "rules/captions.smk"


if "perceptron" in config:

    include: "rules/perceptron.smk"

elif "abstraction" in config:

    include: "rules/abstraction.smk"

else:

    include: "rules/choices.smk"
    include: "rules/datasets.smk"
    include: "rules/synthetic.smk"
    include: "rules/learning.smk"
    include: "rules/pools.smk"
    include: "rules/selections.smk"
    include: "rules/models.smk"
    include: "rules/scores.smk"
    include: "rules/attacks.smk"
    include: "rules/results.smk"
    include: "rules/reports.smk"


include: "rules/page.smk"


rule all:
    default_target: True
    input:
        every_file(),
        rules.page.output,


drop_kinds_without_a_gpu()


onstart:
    start_run()


onsuccess:
    end_run()


onerror:
    end_run()
    tell_errors_last(ERRORS)
