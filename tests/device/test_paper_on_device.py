"""The rehearsal of the paper's tables where it computes, on the pretended device: a run of PUMA, with all before it."""

from pathlib import Path

import h5py
import pytest
from stand_ins import write_cifar10, write_generated

from pumalib.cli.main import main
from pumalib.study.file import load_study
from pumalib.study.study import Study
from tests.golden.workflow import Workflow
from tests.pretend_device import pretend_device

ROOT = Path(__file__).parents[2]
MADE_UP = """
datasets: {cifar10: {published: false}}
runs: {trades: {training: {keep_every: null}}}
"""


@pytest.mark.slow
def test_puma_of_the_papers_tables_is_made_on_a_device(tmp_path, monkeypatch):
    (tmp_path / "studies").symlink_to(ROOT / "studies")
    (tmp_path / "made-up.yaml").write_text(MADE_UP)
    monkeypatch.chdir(tmp_path)
    given = [f"cifar10={write_cifar10(Path('given/cifar'))}", f"1m={write_generated(Path('given/images.npz'))}"]
    overrides = ["studies/overrides/paper-rehearsal.yaml", "made-up.yaml"]
    words = [word for file in given for word in ("--file", file)]
    words += [word for override in overrides for word in ("--override", override)]
    assert main(["paper", *words]) == 0
    study = load_study("results/paper.yaml")
    assert isinstance(study, Study)
    workflow = Workflow(study, tmp_path, device="cuda")
    with pretend_device() as device:
        attack = workflow.attack("puma-20", "cw")
    assert device.work.launches > 10_000
    assert not device.no_kernel
    with h5py.File(attack) as table:
        right = table["clean_prediction"][:] == table["label"][:]
    assert len(right) == 100
    assert right.mean() > 0.3  # 0.1 by chance
