"""The page of the study: README.md beside the results, with every report and links to the files."""

from pumalib.study_words import describe_study

TABLE = next((kind for kind in ("perceptron", "abstraction") if kind in config), None)


rule page:
    input:
        table=f"{RESULTS}/{TABLE or 'results'}.csv",
        reports=[f"{RESULTS}/reports/{name}.md" for name in study.settings.reports],
    output:
        f"{RESULTS}/README.md",
    log:
        f"{RESULTS}/logs/page.log",
    localrule: True
    params:
        about=describe_study(study),
        folders=(
            ["logs"]
            if TABLE
            else [
                *(["scores"] if study.settings.scores else []),
                "selections",
                "models",
                "attacks",
                "logs",
            ]
        ),
        code=code_of("page.py"),
    message:
        f"page of {study.name}"
    script:
        "../workflow_scripts/page.py"
