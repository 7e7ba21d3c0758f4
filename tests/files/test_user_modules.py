"""Which code a study, a file or a folder can make run: what stands below the run folder, and is asked for by name."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from pumalib.errors import ArtifactError, ConfigError
from pumalib.files.user_modules import load_user_object
from pumalib.models.build import build_model
from pumalib.models.imported import load_checkpoint
from pumalib.models.settings import ArchitectureSettings
from pumalib.models.trained import load_trained, save_trained

ROOT = Path(__file__).parents[2]
NET = """
from pathlib import Path
from torch import nn
Path("RAN").touch()
def Net(image_shape, num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(4, num_classes))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder of a user's own, which Python looks through last."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    return tmp_path


@pytest.mark.parametrize("name", ["os:system", "subprocess:run", "sys:exit", "torch.nn:Linear", "pumalib:train"])
def test_what_is_installed_is_no_code_of_a_user(folder: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"expected a score function .* of your own, found no .*\.py in the folder"):
        load_user_object(name, "a score function")


@pytest.mark.parametrize("name", ["os", "os:", ":system", "a-b:c", "a:b:c", "../a:b", "a:b c"])
def test_what_is_no_name_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(ConfigError, match='a score function as "<module>:<name>"'):
        load_user_object(name, "a score function")


@pytest.mark.parametrize("name", ["statistics", "torch", "sys"])
def test_a_file_named_like_something_installed_takes_its_place_nowhere(folder: Path, name: str) -> None:
    (folder / f"{name}.py").write_text("def mine(): ...\n")
    with pytest.raises(ConfigError, match="got another module of that name, which Python takes first; rename"):
        load_user_object(f"{name}:mine", "a score function")


def test_modules_in_folders_and_of_a_folder_left_before_are_found(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "kit").mkdir()
    (folder / "kit/saw.py").write_text("def cut(): return 1\n")
    (folder / "loose_saw.py").write_text("def cut(): return 2\n")
    assert load_user_object("kit.saw:cut", "a function")() == 1
    assert load_user_object("loose_saw:cut", "a function")() == 2
    other = tmp_path_factory.mktemp("other")
    (other / "loose_saw.py").write_text("def cut(): return 3\n")
    monkeypatch.chdir(other)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(folder)] + [str(other)])
    assert load_user_object("loose_saw:cut", "a function")() == 3


@pytest.mark.parametrize("command", [["-m", "pumalib", "check", "study.yaml"], ["-m", "pumalib", "schema"]])
def test_a_file_in_the_current_folder_shadows_no_library(tmp_path: Path, command: list[str]) -> None:
    for name in ("statistics", "matplotlib", "argparse", "yaml", "numpy", "pydantic", "json"):
        (tmp_path / f"{name}.py").write_text("from pathlib import Path\nPath('RAN').touch()\nraise ImportError\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run([sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert not (tmp_path / "RAN").exists()
    assert "Traceback" not in result.stderr


def save(folder: Path, name: str) -> Path:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    save_trained(model, folder / "m.safetensors", ArchitectureSettings(name=name), (2, 2, 1), ("a", "b", "c"))
    return folder / "m.safetensors"


def test_weights_never_say_which_code_runs(folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data/evilm.py").write_text(NET)
    path = save(folder, "data.evilm:Net")
    with pytest.raises(ArtifactError, match=r"names data\.evilm:Net; pass that architecture"):
        load_trained(path, "cpu")
    with pytest.raises(ArtifactError, match=r"expected weights of architecture name mlp, as the study says, got those"):
        load_trained(path, "cpu", ArchitectureSettings(name="mlp"))
    assert not (folder / "RAN").exists()
    model = load_trained(path, "cpu", ArchitectureSettings(name="data.evilm:Net")).model
    assert (folder / "RAN").exists()
    assert model(torch.zeros(1, 1, 2, 2)).shape == (1, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weight: weight.to(torch.int8), "expected float32, got int8"),
        (lambda weight: weight.bool(), "expected float32, got bool"),
        (lambda weight: weight.to(torch.complex64), "expected float32, got complex64"),
        (lambda weight: weight.double() * 1e300, "numbers beyond float32"),
        (lambda weight: weight * float("nan"), "expected finite weights"),
    ],
)
def test_checkpoints_of_foreign_numbers_are_refused(tmp_path: Path, change: object, message: str) -> None:
    architecture = ArchitectureSettings(name="mlp", width=8)
    tensors = build_model(architecture, (2, 2, 1), 3).state_dict()
    first = next(name for name in tensors if name.endswith("weight"))
    torch.save({**tensors, first: change(tensors[first])}, tmp_path / "m.pt")  # type: ignore[operator]
    with pytest.raises(ArtifactError, match=message):
        load_checkpoint(tmp_path / "m.pt", architecture, (2, 2, 1), 3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_checkpoints_of_other_widths_are_taken(tmp_path: Path, dtype: torch.dtype) -> None:
    architecture = ArchitectureSettings(name="mlp", width=8)
    tensors = {name: tensor.to(dtype) for name, tensor in build_model(architecture, (2, 2, 1), 3).state_dict().items()}
    torch.save(tensors, tmp_path / "m.pt")
    found = load_checkpoint(tmp_path / "m.pt", architecture, (2, 2, 1), 3).state_dict()
    for name, tensor in tensors.items():
        torch.testing.assert_close(found[name], tensor.float())
