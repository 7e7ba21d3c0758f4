"""The abstraction model of robust dataset learning: one table of students; figures of it."""


rule abstraction:
    output:
        shown_numbers(f"{RESULTS}/abstraction.csv", "the whole study"),
    log:
        f"{RESULTS}/logs/abstraction.log",
    threads: THREADS
    resources:
        gpu=one_gpu,
        mem_mb=memory,
        runtime=4 * 60,
    params:
        settings=study.settings.abstraction.model_dump(),
        seeds=SEEDS,
        threads=THREADS,
        code=code_of("abstraction.py"),
    message:
        f"students of {study.name}"
    script:
        "../workflow_scripts/abstraction.py"


for report_name, report_settings in study.settings.reports.items():

    rule:
        name:
            report_name
        input:
            rules.abstraction.output[0],
        output:
            **report_outputs(report_name),
        log:
            f"{RESULTS}/logs/reports/{report_name}.log",
        localrule: True
        params:
            settings=report_settings.model_dump(),
            code=code_of("abstraction_report.py"),
        message:
            f"report {report_name}"
        script:
            "../workflow_scripts/abstraction_report.py"


every_file = lambda: with_reports(*rules.abstraction.output)
