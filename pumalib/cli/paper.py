"""Prepare Tables 1 and 2 of the paper: look at the files they need, print the plan, and write the study to run.

A problem with any file is told together with all others, and nothing is written. `make paper` runs what is written.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pumalib.cli.check import plan_as_json, print_plan
from pumalib.cli.output import add_json, print_json, wrapped
from pumalib.cli.paths import writable
from pumalib.cli.study import expect_study
from pumalib.cli.usage import UsageError
from pumalib.errors import ConfigError
from pumalib.files.artifacts import write_text
from pumalib.study.file import load_merged_study, read_study_file
from pumalib.study.names import expect_name
from pumalib.study.part import overridden, part_of
from pumalib.study.plan import Plan, plan_of
from pumalib.study.study import Study, parse_study
from pumalib.study.user_files import Place, UserFile, is_sha256, look_at_files, places_of, with_file

EXAMPLES = (
    "paper",
    "paper --file cifar10=/data/cifar-10-batches-py --file 1m=/data/edm/1m.npz",
    "paper --override studies/overrides/paper-rehearsal.yaml",
)

STUDY, REPORTS, OUT = "studies/paper-cifar10.yaml", ("table-1", "table-2"), "results/paper.yaml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the files, their digests, the reports, overrides, and where the study is written."""
    parser.add_argument("study", nargs="?", default=STUDY, help=f"study file (default: {STUDY})")
    parser.add_argument("--file", action="append", default=[], metavar="NAME=PATH", help="where a file lies")
    parser.add_argument("--sha256", action="append", default=[], metavar="NAME=HEX", help="digest that it should have")
    parser.add_argument("--reports", nargs="+", default=REPORTS, metavar="NAME", help=f"default: {' '.join(REPORTS)}")
    parser.add_argument("--override", action="append", default=[], metavar="FILE", help="keys laid over the study")
    parser.add_argument("--out", type=writable, default=Path(OUT), help=f"study to write (default: {OUT})")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Look, plan and write; problems with files are printed with what each should be, and end with status 1."""
    raw, places = _read(options)
    study = parse_study(raw, options.study)
    files = look_at_files(study, places, _digests(options.sha256, study, places))
    wrong = [file.name for file in files if file.problems]
    if not options.json:
        print("\n".join(_described(files)))
    elif wrong:
        print_json({"files": [file.__dict__ for file in files]})
    if wrong:
        raise ConfigError(f"expected the files above, got problems with {', '.join(wrong)}; nothing was run or written")
    checked = load_merged_study(raw, [options.study, *options.override])
    assert isinstance(checked, Study)
    write_text(options.out, _spelled(raw, options))
    plan = plan_of(checked)
    if options.json:
        told = {"files": [file.__dict__ for file in files], "plan": plan_as_json(plan)}
        print_json({"study": options.out, "seeds": checked.settings.seeds, **told})
    else:
        _print_plan(checked, plan, options.out)
    return 0


def _read(options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Place]]:
    """Return the part of the study to run, with the user's paths, and the places of files."""
    for path in (options.study, *options.override):
        expect_study(path)
    raw = read_study_file(options.study)
    for path in options.override:
        raw = overridden(raw, read_study_file(path), path)
    raw = part_of(raw, options.reports, options.study)
    study = parse_study(raw, options.study)
    places = places_of(study)
    for name, path in _pairs(options.file, "--file", places).items():
        raw = with_file(raw, study, places[name], path)
    return raw, places


def _pairs(given: Sequence[str], option: str, places: Mapping[str, Place]) -> dict[str, str]:
    """Read `NAME=VALUE` of an option."""
    pairs: dict[str, str] = {}
    for text in given:
        name, is_pair, value = text.partition("=")
        if not (is_pair and value) or name in pairs:
            raise UsageError(f"expected {option} NAME=VALUE, each name once, got {text}")
        expect_name(name, places, "file", option)
        pairs[name] = value
    return pairs


def _digests(given: Sequence[str], study: Study, places: Mapping[str, Place]) -> dict[str, str]:
    digests = {name: digest.lower() for name, digest in _pairs(given, "--sha256", places).items()}
    for name, digest in digests.items():
        if not is_sha256(digest):
            raise UsageError(
                f"expected 64 hexadecimal digits as sha256sum prints them, got {digest} at --sha256 {name}"
            )
        model = getattr(study.settings.scores.get(name), "model", None)
        if places[name].group == "datasets" or (model is not None and model.checkpoint is None):
            raise UsageError(f"expected --sha256 of one file that you give, got it with {name}, which is none")
    return digests


def _described(files: Sequence[UserFile]) -> list[str]:
    """Return a block for each file: where it is, what it should be, what is wrong."""
    lines = []
    for file in files:
        lines += ["", f"{file.name}: {_state(file)}" + (f"  {file.path}" if file.path else "")]
        for heading, texts in (("should be" if file.path else "is", file.form), ("found", file.problems)):
            for index, text in enumerate(texts):
                lines += wrapped(text, f"  {'' if index else heading:<10} ", " " * 13)
    return lines


def _state(file: UserFile) -> str:
    if not file.problems:
        return "ok"
    return "wrong" if file.path and Path(file.path).exists() else "missing"


def _print_plan(study: Study, plan: Plan, out: Path) -> None:
    reports = ", ".join(study.settings.reports)
    print(f"\n{out}: {study.extent}, seeds {', '.join(map(str, study.settings.seeds))}, reports {reports}")
    print_plan(plan)  # a prediction of hours belongs there, for `puma check` and here at once
    print(f"Run it: puma run {out}")
    print(f"Then read results/{study.name}/README.md")


def _spelled(raw: Mapping[str, Any], options: argparse.Namespace) -> str:
    """Return the study as YAML: values alone, without the anchors of the file it comes from."""
    made_of = " with ".join([options.study, *options.override])
    head = f"# Written by `puma paper` of {made_of}; it is written anew each time, so change those files.\n"
    return head + yaml.safe_dump(json.loads(json.dumps(raw)), sort_keys=False, allow_unicode=True, width=140)
