"""Every command on the pages is one that works: run here or by another test, or read as its program would read it.

Commands of the pages for newcomers are run whole by tests/test_documents.py, those that look into files by
tests/cli/test_commands_on_files.py. What takes minutes, or a cluster, is held to the files, targets and options that it
names.
"""

import argparse
import shutil
import subprocess
import tomllib

import jsonschema
import pytest
import yaml
from document_blocks import PAGES, ROOT, blocks_of, commands_of

from pumalib.cli.main import _COMMANDS, _options
from pumalib.study.study import OWN_REPORTS, json_schema

NEEDS_A_CLUSTER = {"squeue", "scancel", "sbatch"}
RUN_BY_A_SHELL = {"source", "sed"}
FOLLOWED = ("quick-start", "your-own", "large-images", "selection", "sweeps", "compare", "robust-pruning")
"""Pages that tests/test_documents.py runs whole."""
WRITTEN_BY_THE_READER = {
    "results/paper.yaml",
    "studies/mine.yaml",
    "studies/first.yaml",
    "studies/five-steps.yaml",
    "studies/photographs.yaml",
    "studies/wrong.yaml",
    "tiny.yaml",
    "FILE",
}
COMMANDS = [
    pytest.param(page.name, command, id=f"{page.stem}: {' '.join(command)}")
    for page in PAGES
    for command in commands_of(page)
]


def expect_study(name: str) -> set[str]:
    """Return the targets of a study: its reports."""
    path = ROOT / name
    assert name in WRITTEN_BY_THE_READER or path.is_file(), name
    if not path.is_file():
        return {"table", "margins"}
    study = yaml.safe_load(path.read_text())
    return {*study.get("reports", {}), *({*OWN_REPORTS} & {*study})}


def expect_snakemake(words: list[str]) -> None:
    if words == ["..."]:
        return
    from snakemake.cli import get_argument_parser

    options: argparse.Namespace = get_argument_parser().parse_args(words)
    targets = expect_study(str(options.configfile[0]) if options.configfile else "config.yaml")
    assert set(options.targets) <= targets
    for profile in (options.profile, options.workflow_profile):
        assert profile is None or (ROOT / profile / "config.yaml").is_file()


def expect_make(words: list[str]) -> None:
    for word in words:
        if word.startswith("STUDY="):
            expect_study(word.removeprefix("STUDY="))
    finished = subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr


def expect_pip(words: list[str]) -> None:
    *_, what = words
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert what.removeprefix(".[").removesuffix("]") in extras
    assert (ROOT / words[words.index("--constraint") + 1]).is_file()


def expect_python(words: list[str]) -> None:
    if words[0] == "-c":
        compile(words[1], "<page>", "exec")
    elif words[0] != "-m":
        assert (ROOT / words[0]).is_file()
    elif words[1] == "pumalib":
        expect_puma(words[2:])
    else:
        assert words[1] in ("venv", "pytest") or (ROOT / words[1].replace(".", "/")).with_suffix(".py").is_file()


def expect_puma(words: list[str]) -> None:
    name, *rest = words
    assert name in (*_COMMANDS, "<command>", "--version")
    if name in ("check", "summary", "errors"):
        expect_study(*rest)
    if name == "run":
        options = _options(words)
        expect_handed_on(options, expect_study(options.study))
    if name in ("report", "compare") and rest:
        options = _options(words)
        for study in options.studies if name == "report" else (options.first, options.second):
            if study.endswith(".yaml"):
                expect_study(study)


def expect_handed_on(options: argparse.Namespace, targets: set[str]) -> None:
    """Expect options and targets that Snakemake knows, and a profile that is there."""
    from snakemake.cli import get_argument_parser

    assert set(get_argument_parser().parse_args(options.handed_on).targets) <= targets
    assert options.profile is None or options.profile == "my/profile" or (ROOT / "profiles" / options.profile).is_dir()


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_command_of_a_page_names_what_is_there(page: str, command: list[str]) -> None:
    program, *words = command
    checks = {
        "snakemake": expect_snakemake,
        "make": expect_make,
        "pip": expect_pip,
        "python": expect_python,
        "python3": expect_python,
        "puma": expect_puma,
    }
    if program in NEEDS_A_CLUSTER:
        assert page == "cluster.md"
    elif program in RUN_BY_A_SHELL:
        assert page.removesuffix(".md") in FOLLOWED
    else:
        if program == "make" and shutil.which("make") is None:
            pytest.skip("make is not installed")
        checks[program](words)


YAML = [
    pytest.param(block.text, id=f"{page.stem} {number}")
    for page in PAGES
    for number, block in enumerate(blocks_of(page))
    if block.language == "yaml" and "software-deployment-method" not in block.text  # of a profile, not of a study
]


@pytest.mark.parametrize("text", YAML)
def test_every_piece_of_a_study_on_a_page_is_understood(text: str) -> None:
    schema = json_schema()
    kinds = [schema["$defs"][name]["properties"] for name in schema["$defs"] if name.endswith("StudySettings")]
    piece = yaml.safe_load(text)
    fitting = [sections for sections in kinds if set(piece) <= set(sections)]
    assert fitting, f"expected sections of a study, got {', '.join(piece)}"
    problems = []
    for sections in fitting:
        whole = {"$defs": schema["$defs"], "properties": sections}
        problems.append([error.message for error in jsonschema.Draft202012Validator(whole).iter_errors(piece)])
    assert [] in problems, problems


def test_templates_say_the_commands_that_the_pages_say() -> None:
    for template in (ROOT / "studies/templates").glob("*.yaml"):
        comments = [line.removeprefix("#").strip() for line in template.read_text().splitlines()]
        for command in ("cp studies/templates/", "puma check studies/mine.yaml"):
            assert any(line.startswith(command) for line in comments), f"{command} in {template.name}"
