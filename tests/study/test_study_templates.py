"""The templates under studies/templates: whole studies, once what they name is there."""

import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from pumalib.errors import ConfigError
from pumalib.jobs.frame import reach_user_modules
from pumalib.models.build import build_model
from pumalib.models.settings import ArchitectureSettings
from pumalib.study.file import load_study
from pumalib.study.study import Study

FOLDER = Path(__file__).parents[2] / "studies/templates"


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)


def load(name: str) -> Study:
    study = load_study(FOLDER / f"{name}.yaml")
    assert isinstance(study, Study)
    assert study.name == name
    return study


def write_images() -> None:
    for split in ("train", "test"):
        for kind in ("cat", "dog"):
            Path(f"my/photos/{split}/{kind}").mkdir(parents=True)
            Image.new("RGB", (32, 32)).save(f"my/photos/{split}/{kind}/1.png")


def test_every_template_is_tested_here() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == {"own-images", "own-checkpoint", "own-score"}


def test_images_in_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected a folder or a tar file, found none at my/photos"):
        load("own-images")
    write_images()
    assert list(load("own-images").runs) == ["trades", "puma-20", "control-20"]


def test_images_in_npz_files_and_generated_ones_as_the_comments_say() -> None:
    write_images()
    for name in ("train", "test", "generated"):
        np.savez(f"my/{name}.npz", image=np.zeros((4, 32, 32, 3), np.uint8), label=np.array([0, 1, 0, 1], np.int64))
    text = (FOLDER / "own-images.yaml").read_text()
    told = re.sub(r"^  # (?=(arrays|photos\+100k): )", "  ", text, flags=re.MULTILINE).replace(
        "count: 100000", "count: 4"
    )
    raw = yaml.safe_load(told)
    assert set(raw["datasets"]) == {"photos", "arrays"}
    raw["pools"]["arrays"] = {"dataset": "arrays"}
    Path("study.yaml").write_text(yaml.safe_dump(raw))
    study = load_study("study.yaml")
    assert isinstance(study, Study)
    assert set(study.settings.pools) == {"photos", "photos+100k", "arrays"}


def test_own_checkpoint_as_margin_model() -> None:
    with pytest.raises(ConfigError, match=r"expected a file, found none at my/robust-model\.pt"):
        load("own-checkpoint")
    Path("my").mkdir()
    model = build_model(ArchitectureSettings(name="preactresnet-18"), (32, 32, 3), 10)
    torch.save(model.state_dict(), "my/robust-model.pt")
    study = load("own-checkpoint")
    assert study.runs_behind("margin", 0) == []


def test_own_score_and_rule_from_the_comments_of_the_template() -> None:
    comments = re.findall(r"^# ?(.*)$", (FOLDER / "own-score.yaml").read_text(), re.MULTILINE)
    start = next(index for index, line in enumerate(comments) if line.startswith("my_scores.py"))
    Path("my_scores.py").write_text(textwrap.dedent("\n".join(comments[start + 1 :])))
    reach_user_modules()
    study = load("own-score")
    assert [cut.by for cut in study.runs["by-rule"].prune] == ["rule"]
    import my_scores  # type: ignore[import-not-found]

    logits = torch.tensor([[5.0, 0.0], [0.0, 5.0], [0.1, 0.0]])
    assert my_scores.rule(lambda images: images, logits, torch.zeros(3, dtype=torch.int64)).tolist() == [0, 1, 0]
    assert my_scores.entropy(lambda images: images, logits, None, temperature=2.0).argmax() == 2
