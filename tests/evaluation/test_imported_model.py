"""A checkpoint from elsewhere becomes an ordinary model file of this library."""

from pathlib import Path

import pytest
import torch
from torch import nn

from pumalib.data.datasets import prepare_dataset, read_split
from pumalib.data.image_readers import read_all
from pumalib.data.settings import DigitsSettings
from pumalib.errors import ArtifactError, ConfigError
from pumalib.evaluation.imported_model import import_model
from pumalib.files.artifacts import file_fingerprint
from pumalib.files.origin import Maker
from pumalib.lineage.chain import Tracer
from pumalib.lineage.headers import read_header
from pumalib.models.build import build_model
from pumalib.models.imported_settings import ImportedModelSettings
from pumalib.models.inputs import to_model_input
from pumalib.models.settings import ArchitectureSettings
from pumalib.models.trained import load_trained

MEAN, STD = 0.25, 0.5
ARCHITECTURE = ArchitectureSettings(name="mlp", width=12, mean=(MEAN,), std=(STD,))


class Elsewhere(nn.Module):
    """The perceptron of 64 pixels, 12 hidden units and 10 classes as another code may write it."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(4)
        self.register_buffer("mu", torch.full((1, 1, 1), MEAN))
        self.register_buffer("sigma", torch.full((1, 1, 1), STD))
        for name, shape in template().items():
            self.register_buffer(name.replace(".", "_"), torch.randn(shape, generator=generator) / 8)

    def checkpoint(self) -> dict[str, torch.Tensor]:
        tensors = {f"module.model.{name}": getattr(self, name.replace(".", "_")) for name in template()}
        return {**tensors, "module.mu": self.mu, "module.sigma": self.sigma}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        first, first_bias, *rest = (getattr(self, name.replace(".", "_")) for name in template())
        values = ((images - self.mu) / self.sigma).flatten(1) @ first.T + first_bias
        while rest:
            weight, bias, *rest = rest
            values = values.relu() @ weight.T + bias
        return values


def template() -> dict[str, torch.Size]:
    """Return names and shapes of the weights and biases, in the order of the layers."""
    bare = build_model(ArchitectureSettings(name="mlp", width=12), (8, 8, 1), 10)
    return {name: tensor.shape for name, tensor in bare.state_dict().items()}


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a results folder with digits, beside a checkpoint."""
    monkeypatch.chdir(tmp_path)
    digits = DigitsSettings(source="digits", split="seeded", test_fraction=0.3, train_count=20, test_count=30)
    folder = Path("results/mine")
    prepare_dataset(digits, 0, folder, folder / "datasets/digits/seed0.h5")
    torch.save({"state_dict": Elsewhere().checkpoint()}, "theirs.pt")
    return folder


def imported(results: Path, architecture: ArchitectureSettings = ARCHITECTURE) -> Path:
    settings = ImportedModelSettings(checkpoint="theirs.pt", architecture=architecture)
    output, dataset = results / "models/theirs/seed0/model.safetensors", results / "datasets/digits/seed0.h5"
    import_model(settings, dataset, output, run="theirs", maker=Maker({"python": "3"}, results))
    return output


def test_the_model_file_computes_what_the_checkpoint_computes_there(results: Path) -> None:
    loaded = load_trained(imported(results), "cpu", ARCHITECTURE)
    test = read_split(results / "datasets/digits/seed0.h5", "test")
    images = to_model_input(torch.from_numpy(read_all(test.images)))
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(images), Elsewhere()(images))
    assert (loaded.selection, loaded.epoch, loaded.class_names) == ("", None, tuple("0123456789"))


def test_the_model_file_tells_its_checkpoint_and_a_chain_ends_there(results: Path) -> None:
    path = imported(results)
    header = read_header(path)
    assert header.fingerprints == {"checkpoint": file_fingerprint("theirs.pt")}
    assert header.settings["run"] == "theirs"
    node = Tracer().trace(path)
    assert [(each.role, Path(each.path).name) for each in node.inputs] == [("checkpoint", "theirs.pt")]
    assert node.all_problems == []
    torch.save({"state_dict": nn.Linear(2, 2).state_dict()}, "theirs.pt")
    assert "expected the checkpoint with the recorded fingerprint" in Tracer().trace(path).all_problems[0]


def test_equal_checkpoints_give_equal_bytes(results: Path) -> None:
    first = imported(results).read_bytes()
    assert imported(results).read_bytes() == first


def test_constants_that_the_architecture_leaves_out_are_told(results: Path) -> None:
    bare = ArchitectureSettings(name="mlp", width=12)
    with pytest.raises(ConfigError, match=r"write mean: \[0.25\] and std: \[0.5\] under architecture"):
        imported(results, bare)
    other = ArchitectureSettings(name="mlp", width=12, mean=(0.3,), std=(STD,))
    with pytest.raises(ConfigError, match=r"expected mean and std as in theirs.pt"):
        imported(results, other)


def test_a_checkpoint_of_another_network_leaves_no_file(results: Path) -> None:
    with pytest.raises(ArtifactError, match=r"expected the tensors of mlp in theirs.pt, got others"):
        imported(results, ArchitectureSettings(name="mlp", width=13))
    assert not (results / "models").exists()
