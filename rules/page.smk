"""The page of the study: README.md beside the results, with every report and links to the files; and the pages that a browser shows."""

from pumalib.study.slices import settings_used

TABLE = next((kind for kind in ("perceptron", "abstraction") if kind in config), None)


rule page:
    input:
        table=f"{RESULTS}/{TABLE or 'results'}.csv",
        reports=[f"{RESULTS}/reports/{name}.md" for name in study.settings.reports],
    output:
        page=f"{RESULTS}/README.md",
        settings=shown_settings(f"{RESULTS}/settings.html"),
        web=[
            shown_report(f"{RESULTS}/reports/{name}.html", name, "explained")
            for name, settings in study.settings.reports.items()
            if not settings.writes_page
        ],
    log:
        f"{RESULTS}/logs/page.log",
    localrule: True
    params:
        about=describe_study(study),
        study=study.name,
        settings=lambda wildcards: settings_used(study),
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
