from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from numpy.typing import NDArray

from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.data.datasets import prepare_dataset
from pumalib.data.pool import build_pool, open_pool
from pumalib.data.selection import read_selection, write_selection
from pumalib.data.settings import DigitsSettings, HeldOutSyntheticSettings
from pumalib.errors import ArtifactError
from pumalib.files.artifacts import file_fingerprint
from pumalib.files.origin import NOBODY
from pumalib.models.build import build_model
from pumalib.models.inputs import to_model_input
from pumalib.models.settings import ArchitectureSettings
from pumalib.models.trained import load_trained
from pumalib.selection.settings import SelectionSettings
from pumalib.selection.stage import make_selection
from pumalib.synthesis.synthetic import SyntheticInputs, make_synthetic
from pumalib.tracks.file import read_track
from pumalib.tracks.settings import TrackSettings
from pumalib.training.kept_epochs import kept_epochs
from pumalib.training.online.settings import IaatEpsilon, OnlineEpsilonSettings, OnlineMarginEpsilon
from pumalib.training.run_settings import RunSettings
from pumalib.training.settings import TradesSettings, read_training
from pumalib.training.stage import train_run
from pumalib.training.start_settings import StartSettings
from pumalib.training.task import RunPaths, TrainingTask

THREAT = ThreatSettings(epsilon=0.1)
ARCHITECTURE = ArchitectureSettings(name="mlp", width=8, mean=(0.3,), std=(0.4,))


def make_files(folder: Path, seed: int, validation_fraction: float) -> Path:
    """Make a dataset, a pool of digits with held-out rows as synthetic ones, and a selection of 80 % of it."""
    settings = DigitsSettings(
        source="digits",
        split="seeded",
        test_fraction=0.9,
        held_out_fraction=0.2,
        validation_fraction=validation_fraction,
    )
    prepare_dataset(settings, seed, folder, folder / "dataset.h5")
    inputs = SyntheticInputs(folder / "dataset.h5", None, None, seed, "cpu")
    make_synthetic(HeldOutSyntheticSettings(method="held_out"), inputs, folder / "synthetic.h5")
    build_pool(folder / "dataset.h5", folder / "synthetic.h5", folder / "pool.h5", {})
    selection = SelectionSettings.model_validate(
        {
            "prune": [{"by": "random", "fraction": 0.2}],
            "epsilon": {"policy": "fixed"},
            "threat": {"norm": "linf", "epsilon": 0.1},
            "synthetic_fraction": 0.5,
        }
    )
    make_selection(selection, seed=seed, pool=folder / "pool.h5", scores={}, output=folder / "selection.h5")
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with dataset, pool and selection, and no validation split."""
    return make_files(tmp_path_factory.mktemp("files"), 0, 0.0)


def run(
    files: Path,
    output: Path,
    seed: int = 0,
    selection: Path | None = None,
    repetition: int = 0,
    online: OnlineEpsilonSettings | None = None,
    start: tuple[StartSettings, Path] | None = None,
    **changes: Any,
) -> Path:
    recipe: dict[str, Any] = {
        "epochs": 3,
        "samples_per_epoch": 64,
        "batch_size": 32,
        "synthetic_fraction": 0.5,
        **changes,
    }
    settings = RunSettings(
        architecture=ARCHITECTURE,
        training=read_training(recipe),
        threat=THREAT,
        epsilon=online,
        track=TrackSettings.model_validate({"loss": {"every": 2}, "visits": {}}),
        repetition=repetition,
        start_from=start and start[0],
    )
    paths = RunPaths(
        dataset=files / "dataset.h5",
        pool=files / "pool.h5",
        selection=selection or files / "selection.h5",
        model=output / "model.safetensors",
        history=output / "history.csv",
        track=output / "track.h5",
        settings=output / "run.yaml",
        start=start and start[1],
        kept=tuple(output / f"epoch{epoch}.safetensors" for epoch in kept_epochs(settings.training)),
    )
    train_run(TrainingTask(settings, paths, "trades", seed), "cpu")
    return output


def test_attack_steps_of_rows_come_through_the_selection(files: Path, tmp_path: Path) -> None:
    """No step for any row trains as a radius too small to count; the recipe's own number for all rows is the recipe."""
    selected = read_selection(files / "selection.h5")
    running = {"attack_statistics": "running", "attack_steps": 3}

    def weights(name: str, **changes: Any) -> dict[str, torch.Tensor]:
        path = tmp_path / f"{name}.h5"
        write_selection(replace(selected, **changes), {}, path, NOBODY.origin({}, {}))
        folder = run(files, tmp_path / name, selection=path, **running)
        model = load_trained(folder / "model.safetensors", "cpu").model
        return model.state_dict()

    count = len(selected.rows)
    plain, same, none, still = (
        weights("plain"),
        weights("same", attack_steps=np.full(count, 3), mean_attack_steps=3.0),
        weights("none", attack_steps=np.zeros(count, np.int64), mean_attack_steps=0.0),
        weights("still", epsilons=np.full(count, 1e-9, np.float32), mean_epsilon=1e-9),
    )
    for key in plain:
        torch.testing.assert_close(same[key], plain[key])
        torch.testing.assert_close(none[key], still[key], atol=1e-4, rtol=1e-3)
    assert any(not torch.allclose(none[key], plain[key], atol=1e-3) for key in plain)


def test_labels_of_rows_come_through_the_selection(files: Path, tmp_path: Path) -> None:
    """The pool's own labels are no change; each class under the number of the next one is learned as the next one."""
    selected, pool = read_selection(files / "selection.h5"), open_pool(files / "pool.h5")
    own = pool.labels[selected.rows]

    def predicted(name: str, **changes: Any) -> NDArray[np.int64]:
        path = tmp_path / f"{name}.h5"
        write_selection(replace(selected, **changes), {}, path, NOBODY.origin({}, {}))
        folder = run(files, tmp_path / name, selection=path, method="natural", epochs=30, averaging=0.0)
        model = load_trained(folder / "model.safetensors", "cpu").model
        images = to_model_input(torch.from_numpy(pool.images[selected.rows]))
        with torch.no_grad():
            return model(images).argmax(1).numpy()

    plain, same = predicted("plain"), predicted("same", labels=own, num_relabelled=0)
    moved = predicted("moved", labels=(own + 1) % 10, num_relabelled=len(own))
    np.testing.assert_array_equal(same, plain)
    assert (plain == own).mean() > 0.5
    assert (moved == (own + 1) % 10).mean() > 0.5


def test_equal_inputs_give_equal_bytes_and_another_seed_does_not(files: Path, tmp_path: Path) -> None:
    first, again, other = (run(files, tmp_path / name, seed) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    for name in ("model.safetensors", "history.csv", "track.h5", "run.yaml"):
        assert (first / name).read_bytes() == (again / name).read_bytes()
        assert (first / name).read_bytes() != (other / name).read_bytes()


def test_memory_mapped_pool_trains_the_same_weights(files: Path, tmp_path: Path) -> None:
    resident, mapped = (
        load_trained(run(files, tmp_path / str(limit), device_images_gib=limit) / "model.safetensors", "cpu").model
        for limit in (4.0, 0.0)
    )
    for a, b in zip(resident.state_dict().values(), mapped.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_repetition_is_another_training_of_the_same_seed_and_pool(files: Path, tmp_path: Path) -> None:
    first, other, third = (run(files, tmp_path / str(number), repetition=number) for number in (0, 1, 2))
    histories = {(folder / "history.csv").read_bytes() for folder in (first, other, third)}
    assert len(histories) == 3
    stored = [yaml.safe_load((folder / "run.yaml").read_text()) for folder in (first, other)]
    assert [(settings["seed"], settings["repetition"]) for settings in stored] == [(0, 0), (0, 1)]
    assert stored[0]["inputs"] == stored[1]["inputs"]


STANDING_STILL = {"epochs": 1, "learning_rate": 1e-12, "schedule": "constant", "weight_decay": 0.0, "averaging": 0.0}


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_trained(folder / "model.safetensors", "cpu").model.state_dict()


def test_a_training_can_start_from_the_weights_of_another_run(files: Path, tmp_path: Path) -> None:
    first = run(files, tmp_path / "first")
    start = (StartSettings(run="trades"), first / "model.safetensors")
    tuned = run(files, tmp_path / "tuned", repetition=1, start=start, **STANDING_STILL)
    for name, tensor in weights_of(first).items():
        torch.testing.assert_close(weights_of(tuned)[name], tensor, rtol=0, atol=1e-7)
    recorded = yaml.safe_load((tuned / "run.yaml").read_text())
    assert recorded["start_from"] == {"run": "trades"}
    assert recorded["inputs"]["model"] == file_fingerprint(first / "model.safetensors")
    moved = run(files, tmp_path / "moved", start=start)  # goes on to learn
    assert any(not torch.equal(weights_of(moved)[name], tensor) for name, tensor in weights_of(first).items())


def test_a_training_can_start_from_a_checkpoint_of_another_code(files: Path, tmp_path: Path) -> None:
    bare = build_model(ArchitectureSettings(name="mlp", width=8), (8, 8, 1), 10, seed=7)
    checkpoint = tmp_path / "elsewhere.pt"
    torch.save({"state_dict": torch.nn.DataParallel(bare).state_dict()}, checkpoint)
    start = (StartSettings(checkpoint=str(checkpoint)), checkpoint)
    tuned = weights_of(run(files, tmp_path / "tuned", start=start, **STANDING_STILL))
    for name, tensor in bare.state_dict().items():
        torch.testing.assert_close(tuned[f"model.{name}"], tensor, rtol=0, atol=1e-7)


def test_a_start_of_another_network_is_refused(files: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.pt"
    torch.save(build_model(ArchitectureSettings(name="mlp", width=9), (8, 8, 1), 10).state_dict(), other)
    with pytest.raises(ArtifactError, match=r"other\.pt"):
        run(files, tmp_path / "tuned", start=(StartSettings(checkpoint=str(other)), other))


def test_track_is_stored_for_every_row_of_the_pool(files: Path, tmp_path: Path) -> None:
    run(files, tmp_path)
    pool, selection = open_pool(files / "pool.h5"), read_selection(files / "selection.h5")
    track = read_track(tmp_path / "track.h5", pool.fingerprint)
    assert track.names == ("loss", "visits")
    assert track.quantities["loss"].epochs.tolist() == [1, 3]
    assert track.quantities["loss"].values.shape == (2, len(pool))
    assert track.visits is not None
    assert track.visits.count.sum() == 3 * 64
    assert track.visits.count[selection.rows].sum() == 3 * 64


@pytest.mark.parametrize("count", [7, 10_000])
def test_stored_model_is_the_one_the_history_measured_on_the_rows_it_names(
    files: Path, tmp_path: Path, count: int
) -> None:
    run(files, tmp_path, history_images=count)
    pool, selection = open_pool(files / "pool.h5"), read_selection(files / "selection.h5")
    named = yaml.safe_load((tmp_path / "run.yaml").read_text())["history_images"]
    rows = np.array(named["rows"])
    assert named["split"] == "train"
    assert len(rows) == min(count, len(selection.rows))
    assert set(rows) <= set(selection.rows)
    trained = load_trained(tmp_path / "model.safetensors", "cpu")
    images = torch.from_numpy(np.moveaxis(pool.images[rows], 3, 1).astype(np.float32) / 255)
    with torch.no_grad():
        accuracy = (trained.model(images).argmax(1).numpy() == pool.labels[rows]).mean()
    history = pd.read_csv(tmp_path / "history.csv")
    assert history.clean_accuracy.iloc[-1] == pytest.approx(accuracy)
    assert set(history.split) == {"train"}
    assert (trained.image_shape, trained.class_names) == (pool.image_shape, pool.class_names)


def test_settings_are_stored_with_all_defaults_resolved(files: Path, tmp_path: Path) -> None:
    stored = yaml.safe_load((run(files, tmp_path) / "run.yaml").read_text())
    selection = read_selection(files / "selection.h5")
    assert (stored["run"], stored["seed"]) == ("trades", 0)
    assert stored["training"]["epochs"] == 3
    assert stored["training"]["learning_rate"] == TradesSettings().learning_rate
    assert read_training(stored["training"]).epochs == 3
    assert ArchitectureSettings.model_validate(stored["architecture"]) == ARCHITECTURE
    assert stored["inputs"] == {"pool": selection.pool_fingerprint, "selection": selection.fingerprint}


@pytest.mark.parametrize(
    "online",
    [OnlineMarginEpsilon(policy="online_margin", warmup_epochs=1), IaatEpsilon(policy="iaat", warmup_epochs=1)],
    ids=["online_margin", "iaat"],
)
def test_a_policy_that_works_during_training_is_stored_and_tells_its_epsilons(
    files: Path, tmp_path: Path, online: OnlineEpsilonSettings
) -> None:
    stored = yaml.safe_load((run(files, tmp_path, online=online) / "run.yaml").read_text())
    del stored["inputs"], stored["history_images"]
    assert (stored.pop("run"), stored.pop("seed")) == ("trades", 0)
    assert RunSettings.model_validate(stored).epsilon == online
    history = pd.read_csv(tmp_path / "history.csv")
    assert list(history.columns[-2:]) == ["mean_epsilon", "num_dropped"]
    assert history.mean_epsilon.iloc[-1] < 0.1
    assert "epsilon" not in yaml.safe_load((run(files, tmp_path / "plain") / "run.yaml").read_text())


def test_history_is_measured_on_validation_rows_where_there_are_some(tmp_path: Path) -> None:
    files = make_files(tmp_path, 0, 0.2)
    assert set(pd.read_csv(run(files, tmp_path) / "history.csv").split) == {"validation"}


def test_kept_epochs_are_weight_files_beside_a_model_that_stays_the_same_to_the_byte(
    files: Path, tmp_path: Path
) -> None:
    plain, keeping = run(files, tmp_path / "a"), run(files, tmp_path / "a-keeping", keep_every=2)
    for name in ("model.safetensors", "history.csv", "track.h5"):
        assert (plain / name).read_bytes() == (keeping / name).read_bytes()
    second, third = (load_trained(keeping / f"epoch{epoch}.safetensors", "cpu") for epoch in (2, 3))
    last = load_trained(keeping / "model.safetensors", "cpu")
    assert (second.epoch, third.epoch, last.epoch) == (2, 3, 3)
    assert second.selection == last.selection
    for a, b in zip(third.model.state_dict().values(), last.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert yaml.safe_load((keeping / "run.yaml").read_text())["training"]["keep_every"] == 2
    assert "keep_every" not in yaml.safe_load((plain / "run.yaml").read_text())["training"]


def test_a_model_of_the_best_epoch_says_which_it_is(tmp_path: Path) -> None:
    files = make_files(tmp_path, 0, 0.2)
    changes: dict[str, Any] = {"checkpoint": "best", "keep_every": 1, "learning_rate": 3.0, "epochs": 6}
    folder = run(files, tmp_path / "best", **changes)
    history = pd.read_csv(folder / "history.csv").set_index("epoch")
    best = load_trained(folder / "model.safetensors", "cpu")
    assert best.epoch == history.robust_accuracy.idxmax() < 6
    kept = load_trained(folder / f"epoch{best.epoch}.safetensors", "cpu")
    for a, b in zip(best.model.state_dict().values(), kept.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_selection_of_another_pool_is_refused(files: Path, tmp_path: Path) -> None:
    other = make_files(tmp_path, 1, 0.0)
    with pytest.raises(ArtifactError, match="made for another pool"):
        run(files, tmp_path, selection=other / "selection.h5")
    assert not (tmp_path / "model.safetensors").exists()
