"""What Snakemake's report of a study holds: sections, captions and settings, without anything from outside."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def variable(page: str, name: str) -> Any:
    (text,) = re.findall(rf'<script id="{name}">\s*var \w+ = (.*?);\s*</script>', page, re.DOTALL)
    return json.loads(text)


@pytest.fixture(scope="module")
def report(finished, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    result = finished.run("--report", str(path))
    assert result.returncode == 0, result.stdout + result.stderr
    return path.read_text()


def test_sections_stand_in_reading_order_and_hold_every_report(report):
    sections = {name: parts["Other"] for name, parts in variable(report, "categories").items()}
    assert {name: {path.removeprefix("results/tiny/") for path in paths} for name, paths in sections.items()} == {
        "1 Accuracy": {"reports/table.html", "reports/table.svg"},
        "2 Margins and images": {"reports/margins.html", "reports/margins.svg"},
        "3 Numbers": {"reports/margins.csv", "results.csv", "reports/table.csv"},
        "4 Settings": {"settings.html"},
    }


def test_captions_say_what_is_shown_over_which_seeds_and_where_the_numbers_are(report):
    for path, shown in variable(report, "results").items():
        if shown["labels"].get("view"):
            assert re.search("bars", shown["caption"], re.IGNORECASE), path
            assert re.search(r"1 seed|one seed", shown["caption"]), path
            assert "results/tiny/reports/" in shown["caption"], path
            assert "showCategory('3%20Numbers')" in shown["caption"], path
        else:
            assert shown["caption"], path


def test_overview_tells_of_the_study_and_leads_to_its_sections(report):
    overview = variable(report, "workflow-desc")
    assert "<h1" in overview
    assert "Threat: L-inf perturbations of at most 0.2" in overview
    assert re.findall(r"showCategory\('(\d)", overview) == ["1", "2", "3", "4"]
    assert "problematic" not in overview  # how docutils marks what it cannot read


def test_pages_ask_for_nothing_outside_and_settings_have_defaults(report, finished):
    assert not re.search(r"""<(?:script|link|img|iframe)[^>]*(?:src|href)=["']?(?:https?:)?//""", report)
    page = (finished.folder / "results/tiny/settings.html").read_text()
    listed = yaml.safe_load(re.findall(r"<pre><code>(.*?)</code></pre>", page, re.DOTALL)[0])
    assert listed["threat"] == {"norm": "linf", "epsilon": 0.2}
    assert listed["data_dir"] == "data"  # which the study leaves to its default


def test_a_kind_without_a_caption_is_an_error_when_the_study_is_read(finished, tmp_path):
    caption = finished.folder / "rules/captions/margin_histogram.rst"
    caption.rename(tmp_path / caption.name)
    try:
        result = finished.run("--dry-run")
    finally:
        (tmp_path / caption.name).rename(caption)
    assert result.returncode != 0
    assert "expected a caption of report margins, found no rules/captions/margin_histogram.rst" in result.stderr
