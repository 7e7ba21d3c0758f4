"""What `snakemake --report` shows of a study: its overview, its sections in reading order, and a caption of every file."""

from pumalib.reporting.section_settings import SECTIONS
from pumalib.study.words import describe_study


def sections():
    """Return the names of reports by numbered section, in the study's order; Snakemake sorts sections by name."""
    reports = study.settings.reports.items()
    named = {
        section: [name for name, settings in reports if settings.section == section]
        for section in SECTIONS
    }
    present = [(section, names) for section, names in named.items() if names]
    return {
        f"{place} {section}": names
        for place, (section, names) in enumerate(present, start=1)
    }


def told_verdict(name, unmade):
    """Return how a report begins that has a key of its own, once it is made: the overview is written long after that."""
    if getattr(study.settings, name, None) is None:
        return ""
    page = Path(report_files(name)[1])
    verdict = (
        page.read_text(encoding="utf-8").split("\n\n", 1)[0]
        if page.is_file()
        else unmade
    )
    return verdict.replace("`", "``")


REPORTS_BY_SECTION = sections()
NUMBERS = f"{len(REPORTS_BY_SECTION) + 1} Numbers"
SETTINGS = f"{len(REPORTS_BY_SECTION) + 2} Settings"
LARGEST_INSIDE = 1_500_000
"""Bytes of a web page in the report: Chromium opens no address of more than 2 MiB, and there the page is an address, in base64."""

config["told"] = {  # what the captions say of this study
    "about": describe_study(study).replace("`", "``"),
    "gate": told_verdict("gate", "The gate of this study has not been asked yet."),
    "primary": told_verdict("primary", "The primary contrast has not been tested yet."),
    "folder": RESULTS,
    "sections": REPORTS_BY_SECTION,
    "numbers_section": NUMBERS,
    "settings_section": SETTINGS,
    "seeds": f"{len(SEEDS)} seed{'s' if len(SEEDS) > 1 else ''}",
    "numbers": f"Its numbers are in the CSV file of the same name: `{NUMBERS}`_, or ``{RESULTS}/reports/``.",
}


report: "captions/overview.rst"


def caption_of(name):
    """Return the caption of a report's kind."""
    caption = f"captions/{study.settings.reports[name].kind}.rst"
    if not (Path(workflow.basedir) / "rules" / caption).is_file():
        sys.exit(
            f"Error: expected a caption of report {name}, found no rules/{caption}"
        )
    return caption


def shown_report(path, name, view):
    """Mark a figure or page of a report."""
    section, names = next(
        (section, names)
        for section, names in REPORTS_BY_SECTION.items()
        if name in names
    )
    digits = len(str(len(names)))  # Snakemake sorts rows by their labels
    return report(
        path,
        caption=caption_of(name),
        category=section,
        labels={"report": f"{names.index(name) + 1:0{digits}} {name}", "view": view},
    )


def shown_page(path, name):
    """Mark the web page that a report writes itself, unless it is there and too large to be shown inside another."""
    is_large = Path(path).is_file() and Path(path).stat().st_size > LARGEST_INSIDE
    return path if is_large else shown_report(path, name, "explained")


def shown_numbers(path, of):
    """Mark a file of numbers."""
    return report(
        path,
        caption="captions/numbers.rst",
        category=NUMBERS,
        labels={"numbers of": of},
    )


def shown_settings(path):
    """Mark the page of settings."""
    return report(
        path,
        caption="captions/settings.rst",
        category=SETTINGS,
        labels={"settings of": study.name},
    )


def report_outputs(name):
    """Return the files of a report, by form."""
    paths = report_paths(name)
    own = {"html": shown_page(paths["html"], name)} if "html" in paths else {}
    own |= {"json": shown_numbers(paths["json"], name)} if "json" in paths else {}
    return {
        **paths,
        "csv": shown_numbers(paths["csv"], name),
        "svg": shown_report(paths["svg"], name, "figure alone"),
        **own,
    }
