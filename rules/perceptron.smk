"""The perceptron theory: errors by student, teacher and share of the seeds; one table; figures of it."""

GRID = study.settings.perceptron


wildcard_constraints:
    student="|".join(GRID.students.names),
    teacher="|".join(GRID.teachers),


rule perceptron_shard:
    output:
        f"{RESULTS}/perceptron/{{student}}-{{teacher}}/shard{{shard}}.csv",
    log:
        f"{RESULTS}/logs/perceptron/{{student}}-{{teacher}}/shard{{shard}}.log",
    threads: THREADS
    resources:
        gpu=one_gpu,
        mem_mb=memory,
        runtime=8 * 60,
    params:
        settings=lambda w: GRID.slice_of(w.student),
        seeds=lambda w: study.seeds_of_shard(int(w.shard)),
        threads=THREADS,
        code=lambda w: code_of(
            "perceptron_shard.py", f"pumalib.perceptron.students.{w.student}"
        ),
    message:
        "{wildcards.student} student, {wildcards.teacher} teacher, shard {wildcards.shard}"
    script:
        "../workflow_scripts/perceptron_shard.py"


rule perceptron:
    input:
        expand(
            rules.perceptron_shard.output[0],
            student=GRID.students.names,
            teacher=GRID.teachers,
            shard=range(GRID.shards),
        ),
    output:
        shown_numbers(f"{RESULTS}/perceptron.csv", "the whole study"),
    log:
        f"{RESULTS}/logs/perceptron.log",
    localrule: True
    params:
        code=code_of("perceptron.py"),
    message:
        f"errors of {study.name}"
    script:
        "../workflow_scripts/perceptron.py"


for report_name, report_settings in study.settings.reports.items():

    rule:
        name:
            report_name
        input:
            rules.perceptron.output[0],
        output:
            **report_outputs(report_name),
        log:
            f"{RESULTS}/logs/reports/{report_name}.log",
        localrule: True
        params:
            settings=report_settings.model_dump(),
            code=code_of("perceptron_report.py"),
        message:
            f"report {report_name}"
        script:
            "../workflow_scripts/perceptron_report.py"


every_file = lambda: with_reports(*rules.perceptron.input, *rules.perceptron.output)
