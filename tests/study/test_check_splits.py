"""Splits that leave a class without a row are refused before any job."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pumalib.errors import ConfigError
from pumalib.study.file import load_merged_study


def put_images(folder: Path, counts: dict[str, int]) -> None:
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for index in range(count):
            Image.fromarray(np.full((8, 8), index, np.uint8)).save(folder / name / f"{index}.png")


@pytest.mark.parametrize(
    ("counts", "more", "message"),
    [
        # 20 % of 20 rows are tested: 2 of 10, 2 of 10
        ({"ant": 10, "bee": 10}, {}, None),
        # 20 % of 21 rows are 4: shares 1.9, 1.9 and 0.2 of 1, so the class of one has none
        (
            {"ant": 10, "bee": 10, "wasp": 1},
            {},
            "expected at least one row of every class, got none of wasp in the test",
        ),
        ({"ant": 10, "bee": 10}, {"train_count": 1}, "expected from 2, a row of each class, to 16, .* got 1 at"),
        ({"ant": 10, "bee": 10}, {"validation_fraction": 0.01}, "expected at least one validation row, got none of 16"),
        ({"ant": 10, "bee": 10}, {"test_count": 5}, "expected from 2, a row of each class, to 4, .* got 5 at"),
    ],
)
def test_classes_without_a_row_in_a_split_are_refused_before_any_job(
    counts: dict[str, int], more: dict[str, Any], message: str | None, study: dict[str, Any], tmp_path: Path
) -> None:
    put_images(tmp_path / "photos", counts)
    photos = {"source": "folder", "path": str(tmp_path / "photos"), "image_size": 8, "channels": 1}
    study["datasets"]["mine"] = {**photos, "split": "seeded", "test_fraction": 0.2, **more}
    if message is None:
        load_merged_study(study, [])
        return
    with pytest.raises(ConfigError, match=message) as error:
        load_merged_study(study, [])
    assert "datasets.mine" in str(error.value)
