"""A training of four epochs on the rows of `small_pool`, as the workflow asks for it."""

from pathlib import Path

from pumalib.jobs.states import StatePlace
from pumalib.training.run_settings import RunSettings
from pumalib.training.task import RunPaths, TrainingTask

EPOCHS = 4


def task_in(folder: Path, name: str, seconds: float = 300) -> TrainingTask:
    """Return the task; its state is saved so often."""
    settings = {
        "architecture": {"name": "mlp", "width": 4},
        "training": {
            "method": "trades", "epochs": EPOCHS, "samples_per_epoch": 80, "batch_size": 20, "attack_steps": 1,
            "crop_padding": 0, "horizontal_flip": False, "history_every": 2,
        },
        "threat": {"epsilon": 0.1},
    }  # fmt: skip
    outputs = {"model": "model.safetensors", "history": "history.csv", "track": "track.h5", "settings": "run.yaml"}
    paths = RunPaths(
        **{input: folder / f"{input}.h5" for input in ("dataset", "pool", "selection")},
        **{role: folder / name / file for role, file in outputs.items()},
    )
    return TrainingTask(
        RunSettings.model_validate(settings), paths, "run", 0, StatePlace(folder / f"{name}.state", seconds)
    )
