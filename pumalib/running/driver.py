"""Runs Snakemake in this process, so that signals reach its jobs as they do where a person starts it."""

from __future__ import annotations

import importlib.util
import io
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr

from pumalib.errors import ConfigError
from pumalib.files.provenance import workflow_folder
from pumalib.jobs.progress import QUIET_JOBS

_LOGGER = "puma"


def expect_snakemake() -> None:
    """Refuse to go on without Snakemake.

    Raises:
        ConfigError: it is not installed.
    """
    if importlib.util.find_spec("snakemake") is None:
        raise ConfigError(
            "expected Snakemake, which runs studies, found none; install it: pip install 'pumalib[workflow]'"
        )


def problem_of(arguments: Sequence[str]) -> str | None:
    """Return what Snakemake's command line would object to in some arguments; None: nothing."""
    from snakemake.cli import get_argument_parser

    said = io.StringIO()
    try:
        with redirect_stderr(said):
            get_argument_parser().parse_args(list(arguments))
    except SystemExit:
        return said.getvalue().strip().rpartition("error: ")[2] or "nothing of it"
    return None


def run_snakemake(arguments: Sequence[str], study: str) -> bool:
    """Run Snakemake on a study, and show it in few lines.

    Args:
        arguments: of Snakemake, beside the study and the Snakefile.
        study: its file.

    Returns:
        Whether all went well.
    """
    from snakemake.cli import args_to_api

    os.environ[QUIET_JOBS] = "1"
    _register_logger()
    given = [
        *arguments,
        "--logger",
        _LOGGER,
        "--snakefile",
        str(workflow_folder() / "Snakefile"),
        "--configfile",
        study,
    ]
    try:
        parser, options = _parsed(given)
        return bool(args_to_api(options, parser))
    except SystemExit as error:  # the Snakefile ends a run of a mistaken study so
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
        return error.code in (0, None)


def _parsed(arguments: list[str]) -> tuple[object, object]:
    """Read the command line and the profile, without the line that says which profile."""
    from snakemake.cli import parse_args

    said = io.StringIO()
    try:
        with redirect_stderr(said):
            parser, options = parse_args(arguments)
    except BaseException:
        sys.stderr.write(said.getvalue())
        raise
    return parser, options


def _register_logger() -> None:
    """Make our logger one of Snakemake's plugins; otherwise it would need a package of its own to be found."""
    from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry

    from pumalib.running import show

    LoggerPluginRegistry().register_plugin(f"snakemake_logger_plugin_{_LOGGER}", show)
