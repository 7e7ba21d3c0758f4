"""Puts the workflow into the wheel, as `pumalib/_workflow`, so that `puma run` works where no repository is.

The repository keeps one copy of each file, where Snakemake looks for it; pyproject.toml says all else.
"""

import shutil
from pathlib import Path

from setuptools import Command, setup
from setuptools.command.build import build

PATTERNS = (
    "Snakefile",
    "config.yaml",
    "rules/*.smk",
    "rules/captions/*.rst",
    "workflow_scripts/*.py",
    "profiles/*/config.yaml",
    "studies/templates/*.yaml",
)
PLACE = Path("pumalib/_workflow")


class BuildWorkflow(Command):
    """Copies the files of the workflow; in an editable installation they are used where they are."""

    editable_mode = False
    build_lib: str | None = None

    def initialize_options(self) -> None:
        """Have nothing to set."""

    def finalize_options(self) -> None:
        """Learn where the wheel is put together."""
        self.set_undefined_options("build_py", ("build_lib", "build_lib"))

    def run(self) -> None:
        """Copy."""
        if not self.editable_mode:
            for target, source in self.get_output_mapping().items():
                Path(target).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)

    def get_source_files(self) -> list[str]:
        """Return the files of the workflow, which belong into a source distribution too."""
        files = [str(path) for pattern in PATTERNS for path in sorted(Path().glob(pattern))]
        missing = [pattern for pattern in PATTERNS if not any(Path().glob(pattern))]
        if missing:
            raise FileNotFoundError(f"expected the files of the workflow beside setup.py, found none like {missing[0]}")
        return files

    def get_outputs(self) -> list[str]:
        """Return what is made."""
        return list(self.get_output_mapping())

    def get_output_mapping(self) -> dict[str, str]:
        """Return each file that is made with the one that it is a copy of."""
        return {str(Path(self.build_lib or "") / PLACE / file): file for file in self.get_source_files()}


class Build(build):
    """Builds the library, then the workflow."""

    sub_commands = [*build.sub_commands, ("build_workflow", None)]  # noqa: RUF012 (setuptools' own form)


setup(cmdclass={"build": Build, "build_workflow": BuildWorkflow})
