"""The pages for newcomers do what they say: their files are written and their commands run, from top to bottom.

In such a page, a `yaml` or `python` block whose first line is a path is that file; any other `python` block is run, and
so is each `sh` block, which must end well, or ill where it says `sh-fails`. Blocks without a language are not run.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from document_blocks import ROOT, Block, blocks_of

PAGES = ["quick-start", "your-own", "large-images", "selection", "sweeps", "compare", "robust-pruning"]
COPIED = ("Snakefile", "rules", "workflow_scripts", "profiles", "pumalib", "config.yaml")


def carry_out(block: Block, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", block.text] if block.language == "python" else ["bash", "-ec", block.text]
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(folder / ".cache"),
        "MPLBACKEND": "Agg",
    }
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def follow(blocks: list[Block], folder: Path) -> None:
    for block in blocks:
        if block.language in ("yaml", "python") and block.path:
            (folder / block.path).write_text(block.text)
        elif block.language in ("python", "sh", "sh-fails"):
            result = carry_out(block, folder)
            output = result.stdout + result.stderr
            assert (result.returncode == 0) == (block.language != "sh-fails"), f"{block.text}\n{output}"
            assert "Traceback" not in output, f"{block.text}\n{output}"


def cells_of(notebook: Path) -> list[Block]:
    """Return the code of a notebook as one block: its cells share their names."""
    cells = json.loads(notebook.read_text())["cells"]
    return [Block("python", "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"))]


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_page_can_be_followed_from_top_to_bottom(name, tmp_path):
    for item in COPIED:
        source = ROOT / item
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / item)
    (tmp_path / "studies").mkdir()
    follow(blocks_of(ROOT / f"docs/{name}.md"), tmp_path)
    if name == "quick-start":
        follow(cells_of(ROOT / "docs/open-the-files.ipynb"), tmp_path)


def test_notebook_is_stored_without_outputs():
    cells = json.loads((ROOT / "docs/open-the-files.ipynb").read_text())["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


@pytest.mark.parametrize("name", PAGES)
def test_page_is_made_of_blocks_that_are_understood(name):
    blocks = blocks_of(ROOT / f"docs/{name}.md")
    assert {block.language for block in blocks} <= {"", "yaml", "python", "sh", "sh-fails"}
    assert any(block.language == "sh" for block in blocks)
    assert all(block.path for block in blocks if block.language == "yaml")


def test_site_is_built_without_a_warning_and_leads_to_every_page(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert [page.name for page in tmp_path.glob("*.html") if "<p>```" in page.read_text()] == []  # blocks left as text
    navigation = (ROOT / "mkdocs.yml").read_text()
    assert [page.name for page in (ROOT / "docs").glob("*.md") if page.name not in navigation] == []


def test_first_page_leads_to_every_page():
    linked = set(re.findall(r"\]\(([^)#\s]+)\)", (ROOT / "docs/index.md").read_text()))
    assert {page.name for page in (ROOT / "docs").iterdir() if page.is_file()} - linked == {"index.md"}


@pytest.mark.parametrize("section", ["reports", "attacks"])
def test_table_of_sections_names_every_kind(section):
    schema = json.loads((ROOT / "schemas/study.json").read_text())
    (entry,) = schema["$defs"]["StudySettings"]["properties"][section]["patternProperties"].values()
    lines = (ROOT / "docs/studies.md").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"| `{section}` |")]
    assert {kind for kind in entry["discriminator"]["mapping"] if f"`{kind}`" not in line} == set()


def test_links_between_documents_lead_somewhere():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{target} in {page.name}"
