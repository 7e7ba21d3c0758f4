"""The profile of a cluster replaces the default one whole: what both need stands in both."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RULE = re.compile(r"^rule (\w+):\n((?:[ \n].*\n?)*)", re.MULTILINE)
KINDS = """
rule asks:
    output: "asks.txt"
    resources: gpu=lambda wildcards, attempt: 2 * attempt

rule asks_for_none:
    output: "none.txt"
    resources: gpu=0

rule says_nothing:
    output: "nothing.txt"

"""
USED_AGAIN = re.compile(r"^use rule (\w+) as (\w+) with:", re.MULTILINE)


def rules() -> dict[str, str]:
    """Return the text of each rule with a name of its own; those of trainings, made in a loop, are `model`."""
    texts = [file.read_text() for file in (ROOT / "rules").glob("*.smk")]
    found = {name: body for text in texts for name, body in RULE.findall(text)}
    again = {name: found[first] for text in texts for first, name in USED_AGAIN.findall(text)}
    return {**found, **again, "model": (ROOT / "rules/models.smk").read_text().partition("    rule:\n")[2]}


def profile(name: str) -> dict:
    return yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text())


def test_the_cluster_reruns_and_prints_what_the_default_does():
    cluster, default = profile("slurm"), profile("default")
    del default["cores"]
    assert {key: cluster[key] for key in default} == default


def test_every_rule_runs_beside_the_driver_or_tells_the_cluster_what_it_needs():
    for name, body in rules().items():
        assert ("localrule: True" in body) != ("mem_mb=" in body and "runtime=" in body), name


def test_every_rule_that_is_sent_away_asks_for_a_gpu_where_it_computes():
    sent = {name: body for name, body in rules().items() if "mem_mb=" in body}
    assert {name for name, body in sent.items() if "one_gpu" not in body} == {"import_model"}
    assert "set-resources" not in profile("slurm")


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ([], {"asks": "gpu=2, gpu_model=fast", "asks_for_none": "gpu=0", "says_nothing": ""}),
        (["--resources", "gpu=0"], {"asks": "gpu=0", "asks_for_none": "gpu=0", "says_nothing": ""}),
        (
            ["--set-resources", "asks:gpu=0", "asks_for_none:gpu=1", "says_nothing:gpu_model='slow'"],
            {"asks": "gpu=0", "asks_for_none": "gpu=1, gpu_model=fast", "says_nothing": ""},
        ),
    ],
)
def test_a_kind_of_gpu_is_named_where_a_gpu_is_asked_for(
    make_checkout: Callable, options: list[str], asked: dict[str, str]
) -> None:
    checkout = make_checkout()
    checkout.edit("Snakefile", "\ndrop_kinds_without_a_gpu()", f"{KINDS}\ndrop_kinds_without_a_gpu()")
    planned = checkout.run(*asked, "--dry-run", "--default-resources", "gpu_model=fast", *options)
    assert planned.returncode == 0, planned.stderr
    found = re.findall(r"^rule (\w+):\n(?:    .*\n)*?    resources: (.*)$", planned.stdout, re.MULTILINE)
    assert {name: ", ".join(sorted(re.findall(r"gpu\w*=\w+", line))) for name, line in found} == asked
