"""A study that trains over two machines, network namespaces: the workflow on one, `pumalib node` on the other."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from namespaces import Machines, two_machines
from safetensors.torch import load_file

pytestmark = pytest.mark.slow
PORT = 29410
MODEL = "results/tiny/models/trades/seed{seed}/model.safetensors"


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    with two_machines() as made:
        yield made


def change(raw):
    """Leave one run of two seeds on real digits, over two machines."""
    del raw["generators"], raw["scores"], raw["reports"]
    raw["pools"] = {"digits": {"dataset": "digits"}}
    raw["defaults"]["pool"] = "digits"
    raw["defaults"]["training"] |= {"samples_per_epoch": 640, "nodes": 2}
    raw["runs"], raw["attacks"], raw["seeds"] = {"trades": {}}, {"pgd": {"method": "pgd", "steps": 2}}, [0, 1]


def on_one(raw):
    change(raw)
    raw["defaults"]["training"]["nodes"] = 1


def one_seed(raw):
    change(raw)
    raw["seeds"] = [0]


def longer(raw):
    one_seed(raw)
    raw["defaults"]["training"]["epochs"] = 4


def node(checkout, machines: Machines, study: str) -> subprocess.Popen[str]:
    """Let the second machine take part until it is stopped."""
    command = [*machines.on(1), sys.executable, "-m", "pumalib", "node", study, f"{machines.addresses[0]}:{PORT}"]
    return checkout.start(command)


def run(checkout, machines: Machines, study: str) -> subprocess.CompletedProcess[str]:
    """Run the workflow on the first machine."""
    told = ["env", f"PUMA_FIRST_NODE={machines.addresses[0]}:{PORT}"]
    return checkout.call([*machines.on(0), *told, *checkout.command(study=study)])


def test_a_node_takes_part_in_one_training_after_the_other_until_it_is_stopped(make_checkout, machines):
    here, both = make_checkout(), make_checkout()
    result = here.run(study=here.study("one.yaml", on_one))
    assert result.returncode == 0, result.stderr
    study = both.study("two.yaml", change)
    with node(both, machines, study) as server:
        result = run(both, machines, study)
        assert result.returncode == 0, result.stdout + result.stderr
        assert server.poll() is None
        server.send_signal(signal.SIGTERM)
        errors = server.communicate(timeout=60)[1]
    assert server.returncode == 128 + signal.SIGTERM
    assert errors.count("taking part as node 1 of 2 in results/tiny/logs/models/trades/seed") == 2
    for seed in (0, 1):
        expected, found = (load_file(checkout.folder / MODEL.format(seed=seed)) for checkout in (here, both))
        for name, values in expected.items():
            torch.testing.assert_close(found[name], values, rtol=1e-4, atol=1e-5)
    assert both.planned(study) == set()


def test_a_node_with_another_study_is_refused_in_one_sentence(make_checkout, machines):
    checkout = make_checkout()
    study, other = checkout.study("two.yaml", one_seed), checkout.study("other.yaml", longer)
    with node(checkout, machines, other) as server:
        result = run(checkout, machines, study)
        errors = server.communicate(timeout=60)[1]
    assert (result.returncode, server.returncode) == (1, 1)
    expected = "expected runs.trades.training.epochs 3, as the first node has it, got 4 in other.yaml on "
    assert f"Error: {expected}" in errors
    assert f"Error: {expected}" in result.stderr
    assert "; use the same study file on every node\n" in result.stderr


def test_nothing_begins_where_nobody_said_how_machines_find_each_other(make_checkout):
    checkout = make_checkout()
    result = checkout.run(study=checkout.study("two.yaml", change))
    assert result.returncode == 1
    assert "Error: expected PUMA_FIRST_NODE=HOST:PORT in the environment for training.nodes 2, found none" in (
        result.stdout + result.stderr
    )
    assert not Path(checkout.folder / "results/tiny/datasets").exists()


def test_a_study_on_one_machine_needs_no_further_ones(make_checkout):
    checkout = make_checkout()
    study = checkout.study("one.yaml", on_one)
    result = checkout.call([sys.executable, "-m", "pumalib", "node", study, "host-a:29400"])
    assert result.returncode == 1
    assert result.stderr.startswith("Error: expected a study with training.nodes of 2 or more in a run, got none in")
    result = checkout.call([sys.executable, "-m", "pumalib", "node", study, "host-a"])
    assert result.stderr.startswith("Error: expected the first node as HOST:PORT, such as host-a:29400, got 'host-a'")
