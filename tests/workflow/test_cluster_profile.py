"""The profile of a cluster replaces the default one whole: what both need stands in both."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
RULE = re.compile(r"^rule (\w+):\n((?:[ \n].*\n?)*)", re.MULTILINE)
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


def test_every_rule_that_can_use_a_gpu_asks_the_cluster_for_one():
    using = {name for name, body in rules().items() if "GPUS_A_JOB" in body}
    assert {"attack", "attack_kept", "model"} < using
    assert "sends_gpu_jobs" in rules()["model"]  # as many as the training's devices
    assert profile("slurm")["set-resources"] == {name: {"gpu": 1} for name in using - {"model"}}


def test_every_rule_runs_beside_the_driver_or_tells_the_cluster_what_it_needs():
    for name, body in rules().items():
        assert ("localrule: True" in body) != ("mem_mb=" in body and "runtime=" in body), name
