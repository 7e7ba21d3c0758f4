"""Check a study, print what it gave, look into its files and follow its numbers back to the data."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import ModuleType

from pumalib.cli.usage import UsageError
from pumalib.errors import PumaError
from pumalib.files.plain_text import PlainStream
from pumalib.files.provenance import library_versions
from pumalib.jobs.frame import STATUS_OF_SIGINT, reach_user_modules

_COMMANDS = {
    "new": "write a study to begin with, of a folder of images or of digits",
    "run": "check a study, run it, and print its tables",
    "report": "put a study that has run, or several, into one HTML file",
    "check": "check a study file without running anything",
    "paper": "look at the files that the paper's tables need, and write the study that makes them",
    "plan": "say what a study takes before it runs: hours, memory, disk and passes",
    "graph": "draw the rules of a study, and which of them read files of which",
    "summary": "print the tables of a study that has run, and where its files are",
    "errors": "print the messages of the jobs that failed in the last run",
    "node": "let this machine take part in trainings over several",
    "inspect": "say what a file holds: origin, counts, quantiles, a histogram, hardest and easiest rows",
    "show": "draw rows of a file as a contact sheet (PNG)",
    "browse": "write a page to look at what a selection keeps and prunes (one HTML file)",
    "suspects": "list rows whose label the margin model denies: suspected label errors",
    "export": "write what a selection keeps for use outside PUMA: npz, class folders, CSV or Parquet",
    "compare": "compare two selections, score tables, results or studies",
    "trace": "follow a file, or a number of results.csv, back to the dataset and check the way",
    "recheck": "ask a model again at the points that an attack kept",
    "robustbench": "write the accuracies of a run in the form of RobustBench's model_info files",
    "schema": "print the JSON schema of study files",
}
"""Each command is the module of its name."""

_STATUS = "Exit status: 0 fine, 1 a problem in what was looked at, 2 a wrong command line."


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    reach_user_modules()
    with redirect_stdout(PlainStream(sys.stdout)), redirect_stderr(PlainStream(sys.stderr)):  # type: ignore[type-var]
        return _run(given)


def _run(given: list[str]) -> int:
    try:
        options = _options(given)
        status = _module(options.command).run(options)
        sys.stdout.flush()
    except UsageError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except PumaError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Error: interrupted; run the same command again", file=sys.stderr)
        return STATUS_OF_SIGINT
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        place = f" at {error.filename}" if error.filename else ""
        print(f"Error: expected to read and write files, got: {error.strerror or error}{place}", file=sys.stderr)
        return 1
    except Exception as error:
        if os.environ.get("PUMA_TRACEBACK"):
            raise
        told = " ".join(str(error).split())[:200]
        print(
            f"Error: expected files as this library writes them, reading failed with {type(error).__name__}: {told}; "
            "make again what was changed, or report it with what PUMA_TRACEBACK=1 in front of the command shows",
            file=sys.stderr,
        )
        return 1
    return int(status)


def _options(given: list[str]) -> argparse.Namespace:
    """Read a command line; what stands after `--` is for Snakemake, where the command hands it on."""
    parser = _parser(given)
    if given[:1] != ["run"]:
        return parser.parse_args(given)
    at = given.index("--") if "--" in given else len(given)
    options, unknown = parser.parse_known_args(given[:at])
    if unknown:
        raise UsageError(
            f"expected options that `puma run --help` lists, got {unknown[0]}; Snakemake's own come after --"
        )
    options.handed_on = given[at + 1 :]
    return options


def _parser(given: list[str]) -> argparse.ArgumentParser:
    """Return the parser; only the command that is given gets its arguments, so that the others are not imported."""
    program = "puma" if Path(sys.argv[0]).stem == "puma" else "python -m pumalib"
    parser = argparse.ArgumentParser(prog=program, description=__doc__, epilog=_STATUS)
    parser.add_argument("--version", action="version", version=f"pumalib {library_versions()['pumalib']}")
    commands = parser.add_subparsers(dest="command", required=True)
    wanted = next((word for word in given if not word.startswith("-")), None)
    for name, help_text in _COMMANDS.items():
        command = commands.add_parser(name, help=help_text, formatter_class=argparse.RawDescriptionHelpFormatter)
        if name == wanted:
            module = _module(name)
            command.description = (module.__doc__ or "").strip()
            command.epilog = _examples(module, program) + _STATUS
            module.add_arguments(command)
    return parser


def _module(command: str) -> ModuleType:
    return importlib.import_module(f"pumalib.cli.{command}")


def _examples(module: ModuleType, program: str) -> str:
    lines = "".join(f"  {program} {example}\n" for example in module.EXAMPLES)
    return f"examples:\n{lines}\n"
