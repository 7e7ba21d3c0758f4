"""Check a study file without running anything, and say what it will do: rows, draws, passes over the pool and jobs."""

from __future__ import annotations

import argparse
import re
from dataclasses import asdict
from typing import Any

from pumalib.cli.output import aligned, print_json
from pumalib.cli.study import add_study, expect_study
from pumalib.study.check_checkpoints import check_checkpoints
from pumalib.study.file import load_study
from pumalib.study.plan import Plan, PlannedRun, plan_of
from pumalib.study.study import Study

EXAMPLES = ("check", "check studies/mine.yaml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the study file."""
    add_study(parser)


def run(options: argparse.Namespace) -> int:
    """Say what there is to do; the first problem is an error."""
    expect_study(options.study)
    study = load_study(options.study)
    seeds = list(study.settings.seeds)
    plan = None
    if isinstance(study, Study):
        check_checkpoints(study)
        plan = plan_of(study)
    if options.json:
        told: dict[str, Any] = {"file": options.study, "study": study.name, "extent": study.extent, "seeds": seeds}
        sweeps = {name: sweep.runs for name, sweep in study.sweeps.items()} if isinstance(study, Study) else {}
        told |= {"sweeps": sweeps} if sweeps else {}
        print_json(told | ({} if plan is None else {"plan": plan_as_json(plan)}))
        return 0
    counted = f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
    print(f"{options.study}: {study.extent}, {counted}, no problem found")
    if isinstance(study, Study):
        for name, sweep in study.sweeps.items():
            print(f"  sweep {name} of {', '.join(sweep.keys)}: {len(sweep.runs)} runs, {sweep.listed}")
    if plan is not None:
        print_plan(plan)
    return 0


def print_plan(plan: Plan) -> None:
    """Print the runs of a plan, its jobs and its warnings."""
    rows = [(run.run, run.pool, _count(run.rows), _count(run.draws), _passes(run)) for run in plan.runs]
    print("\n".join(aligned(("run", "pool", "rows", "draws", "passes over the pool"), rows, has_units=False)))
    print("  " + ", ".join(_counted(count, name) for name, count in plan.jobs.items()))
    for warning in plan.warnings:
        print(f"Warning: {warning}")


def _count(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"


def _passes(run: PlannedRun) -> str:
    return "?" if run.passes is None else f"{run.passes:,.1f}"


def plan_as_json(plan: Plan) -> dict[str, Any]:
    """Return a plan as JSON holds it."""
    runs = [{**asdict(run), "passes": run.passes} for run in plan.runs]
    return {"runs": runs, "jobs": dict(plan.jobs), "warnings": list(plan.warnings)}


def _counted(count: int, names: str) -> str:
    """Return a number and what it counts, such as 1 attack on kept epochs."""
    told = names if count > 1 else re.sub(r"s\b", "", names, count=1)
    return f"{count} {told}"
