"""Trainings over several machines: what a study that has none does not see of them, and what is recorded of one."""

from typing import Any

from pumalib.study import slices
from pumalib.study.file import load_merged_study
from pumalib.study.study import Study
from pumalib.training.settings import read_training


def resolved(study: dict[str, Any], **training: int) -> dict[str, Any]:
    study["runs"]["r"] = {"training": training}
    loaded = load_merged_study(study, [])
    assert isinstance(loaded, Study)
    return slices.run_settings(loaded, "r").model_dump()


def test_one_node_leaves_no_trace_in_what_a_training_depends_on(study: dict[str, Any]) -> None:
    without = resolved(study)
    assert "nodes" not in without["training"]
    assert resolved(study, nodes=1) == without
    assert resolved(study, nodes=2)["training"] == {**without["training"], "nodes": 2}


def test_devices_of_all_nodes_are_counted_together() -> None:
    settings = read_training({"devices": 4, "nodes": 2}).on_one_node
    assert settings == read_training({"devices": 8})
    assert settings.model_dump() == read_training({"devices": 8}).model_dump()
