"""What a class tree makes of a dataset is known, and what is wrong with it is refused, before any job."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pumalib.errors import ConfigError
from pumalib.files.provenance import code_fingerprint
from pumalib.study.check_pools import look_at_datasets
from pumalib.study.plan import plan_of, rows_of_pool, rows_of_split
from pumalib.study.slices import dataset_code
from pumalib.study.study import Study

ROOT = Path(__file__).parents[2]
TABLE = {"kind": "cost"}


def test_the_number_of_classes_and_rows_is_known_before_any_job(
    study: dict[str, Any], read: Callable[[dict[str, Any]], Study]
) -> None:
    study["pools"]["groups"] = {"dataset": "grouped"}
    study["runs"]["grouped"] = {"pool": "groups"}
    loaded = read(TABLE)
    shapes = look_at_datasets(loaded)
    assert shapes["grouped"] == ((8, 8, 3), 2, (12, 6), ("dog", "cat"))
    assert rows_of_pool(loaded, "groups", shapes) == 12
    assert rows_of_split(loaded.settings.datasets["grouped"], shapes["grouped"], "test") == 6
    assert {run.pool: run.rows for run in plan_of(loaded).runs}["groups"] == 12


def test_groups_are_listed_again_whenever_a_study_is_read(
    read: Callable[[dict[str, Any]], Study], tmp_path: Path
) -> None:
    assert look_at_datasets(read(TABLE))["grouped"].class_names == ("dog", "cat")
    for index in range(1, 8):
        (tmp_path / f"photos/train/hammer/{index}.png").touch()
    assert look_at_datasets(read(TABLE))["grouped"].class_names == ("animal", "tool")


REFUSED: list[tuple[Callable[[dict[str, Any], Path], object], str]] = [
    (
        lambda dataset, folder: dataset["classes"].update(groups=4),
        "expected 4 groups of which the largest has at most 2 times the images of the smallest, got at most 3 from "
        "is_a.txt; lower groups to 3, or raise largest, named at datasets.grouped.classes",
    ),
    (
        lambda dataset, folder: dataset["classes"].update(tree="no.txt"),
        "expected a file at no.txt, got: No such file or directory, named at datasets.grouped.classes",
    ),
    (
        lambda dataset, folder: dataset["classes"].update(words="no.txt"),
        "expected a file at no.txt, got: No such file or directory, named at datasets.grouped.classes",
    ),
    (
        lambda dataset, folder: (folder / "is_a.txt").write_text("dog poodle\npoodle dog\n"),
        "expected a class tree without a cycle, got poodle -> dog -> poodle in is_a.txt",
    ),
    (
        lambda dataset, folder: (folder / "is_a.txt").write_text("r poodle\nr terrier\nr cat\n"),
        "expected every class in the class tree is_a.txt, got none of hammer, named at datasets.grouped.classes",
    ),
    (
        lambda dataset, folder: (folder / "is_a.txt").write_text(""),
        "expected lines of a parent and its child, got none in is_a.txt, named at datasets.grouped.classes",
    ),
    (
        lambda dataset, folder: (folder / "photos/train/hammer/0.png").unlink(),
        "an image at least in each class folder of photos/train, found none in hammer",
    ),
    (
        lambda dataset, folder: dataset["classes"].update(groups=1),
        "expected groups to be greater than or equal to 2, got 1 at datasets.grouped.classes.groups",
    ),
    (
        lambda dataset, folder: dataset["classes"].update(largest=0.5),
        "expected largest to be greater than or equal to 1, got 0.5 at datasets.grouped.classes.largest",
    ),
]


@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_what_is_wrong_with_a_tree_is_told_when_a_study_is_read(
    change: Callable[[dict[str, Any], Path], object],
    message: str,
    study: dict[str, Any],
    read: Callable[[dict[str, Any]], Study],
    tmp_path: Path,
) -> None:
    change(study["datasets"]["grouped"], tmp_path)
    with pytest.raises(ConfigError) as refused:
        read(TABLE)
    assert message in str(refused.value)


def test_only_a_dataset_with_groups_depends_on_their_code(read: Callable[[dict[str, Any]], Study]) -> None:
    loaded = read(TABLE)
    codes = {
        name: code_fingerprint(ROOT / "workflow_scripts/dataset.py", *dataset_code(loaded, name))
        for name in ("grouped", "digits")
    }
    groups = {"pumalib.data.class_groups", "pumalib.data.class_trees", "pumalib.data.grouped_classes"}
    assert groups <= set(codes["grouped"])
    assert not groups & set(codes["digits"])
