"""Every path that computes on a device, on the pretended one: `pytest -m slow tests/device/test_paths.py`.

The golden studies are made on it, and come to their numbers. What they leave out follows, path by path. The last test
holds all of that against the functions of the library that take a device or a network: one that is missing fails.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from pumalib import (
    ArchitectureSettings,
    ThreatSettings,
    TrackSettings,
    TrainOptions,
    build_model,
    deepfool_margins,
    evaluate,
    extrapolated_margins,
    fast_margins,
    refined_margins,
    train,
)
from pumalib.attacks.deepfool_published import published_deepfool_margins
from pumalib.attacks.settings import AttackSettings, AutoattackSettings, CwPgdSettings
from pumalib.browsing.perturbing import perturbed
from pumalib.browsing.selections import score_paths, selection_rows
from pumalib.data.datasets import write_images
from pumalib.data.images import LabelledImages
from pumalib.evaluation.recheck import recheck
from pumalib.evaluation.stage import attack_model
from pumalib.files.artifacts import create_artifact
from pumalib.jobs.states import StateFile, StatePlace
from pumalib.lineage.headers import read_header
from pumalib.models.imported import load_imported
from pumalib.models.trained import save_trained
from pumalib.training.online.settings import CatEpsilon, IaatEpsilon, OnlineMarginEpsilon
from pumalib.training.settings import read_training
from tests.device.device_functions import device_functions, noting_calls
from tests.golden.numbers import OTHER, compare, read_numbers
from tests.golden.record import NUMBERS, measure
from tests.pretend_device import Device, pretend_device
from tests.small_study import SmallStudy

pytestmark = pytest.mark.slow
THREAT, L2 = ThreatSettings(epsilon=8 / 255), ThreatSettings(epsilon=0.5, norm="l2")
NUM_IMAGES = 24
PATHS: dict[str, Callable[[Path], object]] = {}
CALLED: set[tuple[str, str]] = set()
DONE: set[str] = set()


def path(name: str) -> Callable[[Callable[[Path], object]], Callable[[Path], object]]:
    def add(run: Callable[[Path], object]) -> Callable[[Path], object]:
        PATHS[name] = run
        return run

    return add


def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (NUM_IMAGES, 8, 8, 3)).astype(np.uint8)


def labels() -> np.ndarray:
    return np.arange(NUM_IMAGES) % 4


def points() -> torch.Tensor:
    return torch.from_numpy(images()).permute(0, 3, 1, 2).float() / 255


def network(name: str = "small-cnn", **settings: Any) -> nn.Module:
    return build_model(ArchitectureSettings(name=name, **settings), (8, 8, 3), 4, seed=1).to("cuda").eval()


for norm in ("linf", "l2"):
    for estimate, options in (
        (deepfool_margins, {}),
        (deepfool_margins, {"up_to": 0.05}),
        (fast_margins, {"max_iterations": 20}),
        (refined_margins, {"up_to": 0.2}),
        (refined_margins, {"restarts": 2}),
        (published_deepfool_margins, {}),
    ):
        about = {"norm": norm, "batch_size": 10, **options}
        PATHS[f"{estimate.__name__} {about}"] = lambda _, estimate=estimate, about=about: estimate(
            network(), points(), labels(), **about
        )

for spec in (
    {"method": "cw_pgd", "steps": 6, "restarts": 2},
    {"method": "cw_pgd", "steps": 6, "screening": "bfloat16"},
    {"method": "pgd", "steps": 6},
    {"method": "square", "queries": 30},
    {"method": "minimum_norm"},
    {"method": "clean"},
):
    for threat in (THREAT, L2):
        if spec["method"] != "square" or threat is THREAT:
            PATHS[f"evaluate {spec} {threat.norm}"] = lambda _, spec=spec, threat=threat: evaluate(
                network(),
                points().to("cuda"),
                labels(),
                TypeAdapter(AttackSettings).validate_python(spec),
                threat=threat,
            )

RECIPE = {"method": "trades", "epochs": 2, "samples_per_epoch": 32, "batch_size": 8, "attack_steps": 2}
TRAININGS: dict[str, dict[str, Any]] = {
    "natural": {"method": "natural", "attack_steps": None},
    "pgd_at": {"method": "pgd_at"},
    "bfloat16, channels last, running": {
        "attack_precision": "bfloat16",
        "channels_last": True,
        "attack_statistics": "running",
    },
    "mapped images": {"device_images_gib": 0.0},
    "best epoch": {"checkpoint": "best"},
    "rows left out of epochs": {"dynamic_pruning": {"until": 1.0}},
    "near rows": {"attack_statistics": "running", "selective": {"fraction": 0.4, "warmup_epochs": 1}},
}


def fit(settings: dict[str, Any], threat: ThreatSettings = THREAT, **options: Any) -> Any:
    values = {**RECIPE, "history_images": 8, **settings}
    recipe = read_training({key: value for key, value in values.items() if value is not None})
    epsilons = options.pop("epsilons", None)
    validation = None
    if settings.get("checkpoint") == "best":
        validation = LabelledImages(images(), labels())
    where = TrainOptions(device="cuda", validation=validation, **options)
    return train(
        network("convnet", width=8), images(), labels(), epsilons, settings=recipe, threat=threat, options=where
    )


for name, settings in TRAININGS.items():
    PATHS[f"train {name}"] = lambda _, settings=settings: fit(settings)
for inputs in ("clean", "attacked"):
    quantities = ("correct", "el2n", "loss", "aign", *(("grand",) if inputs == "clean" else ()))
    track = TrackSettings.model_validate({**{each: {"inputs": inputs} for each in quantities}, "visits": {}})
    PATHS[f"train, tracked, {inputs}"] = lambda _, track=track: fit({}, track=track)
for online in (
    OnlineMarginEpsilon(policy="online_margin", prune_above=0.02, warmup_epochs=0),
    IaatEpsilon(policy="iaat", warmup_epochs=0),
    CatEpsilon(policy="cat"),
):
    PATHS[f"train {online.policy}"] = lambda _, online=online: fit({}, online=online)
for threat in (THREAT, L2):
    PATHS[f"train signed epsilons {threat.norm}"] = lambda _, threat=threat: fit(
        {}, threat, epsilons=np.linspace(-0.5, 0.5, NUM_IMAGES)
    )


@path("extrapolated margins")
def _(folder: Path) -> None:
    generator = np.random.default_rng(0)
    classes = np.arange(400) % 2
    bright = (classes[:, None, None, None] * 0.5 + 0.5 * generator.random((400, 3, 8, 8))).astype(np.float32)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(torch.from_numpy(bright)), torch.from_numpy(classes)).backward()
        optimizer.step()
    extrapolated_margins(model.to("cuda").eval(), bright, classes, fraction=0.5, least_agreement=0.0)


@path("perceptron students")
def _(folder: Path) -> None:
    from pumalib.perceptron.stage import write_shard
    from tests.perceptron.test_perceptron_tables_and_reports import GRID

    for student in ("online", "hard_margin", "logistic"):
        write_shard(GRID.model_dump(), student, "dense", [0], folder / f"{student}.csv", "cuda")


@path("abstraction students")
def _(folder: Path) -> None:
    from pumalib.abstraction.stage import write_students
    from pumalib.study.file import read_study_file

    study = read_study_file(Path("studies/abstraction.yaml"))
    write_students({**study["abstraction"], "num_rows": 200, "epsilons": [0.5]}, [0], folder / "table.csv", "cuda")


@path("an attack, asked again")
def _(folder: Path) -> None:
    architecture = ArchitectureSettings(name="small-cnn")
    save_trained(network(), folder / "model", architecture, (8, 8, 3), tuple("abcd"))
    with create_artifact(folder / "data.h5", "dataset") as file:
        file.attrs["class_names"] = list("abcd")
        write_images(file.create_group("test"), LabelledImages(images(), labels()))
    model, dataset, attack = folder / "model", folder / "data.h5", CwPgdSettings(steps=3, keep_points=True)
    attack_model(attack, THREAT, dataset=dataset, model_path=model, output=folder / "cw.h5", seed=3, device="cuda")
    recheck(folder / "cw.h5", model=folder / "model", dataset=folder / "data.h5", device="cuda")


@path("a checkpoint from elsewhere")
def _(folder: Path) -> None:
    torch.save(network().cpu().state_dict(), folder / "theirs.pt")
    architecture = ArchitectureSettings(name="small-cnn")
    model = load_imported(folder / "theirs.pt", architecture, (8, 8, 3), tuple("abcd"), None, "cuda").model
    assert next(model.parameters()).device.type == "cuda"
    evaluate(model, points(), labels(), threat=THREAT)


@path("rows perturbed for a page")
def _(folder: Path) -> None:
    study = SmallStudy(folder / "results/small")
    study.make_pools()
    study.train("trades", {})
    study.score_margins()
    study.select("puma", {"margin": study.folder / "scores/margin/seed0.h5"})
    header = read_header(study.selection("puma"))
    perturbed(selection_rows(header), 20, header, score_paths(header), "cuda")


@path("a state")
def _(folder: Path) -> None:
    place = StatePlace(folder / "state", 0.0)
    StateFile(place, "key").offer(lambda: {"values": torch.ones(2, device="cuda")})
    found = StateFile(place, "key").load("cuda")
    assert found is not None
    assert found["values"].device.type == "cuda"


def run(name: str, folder: Path) -> Device:
    with pretend_device() as device, noting_calls(CALLED):
        PATHS[name](folder)
    DONE.add(name)
    return device


@path("golden studies")
def _(folder: Path) -> None:
    moved = compare(measure(folder, device="cuda"), *read_numbers(NUMBERS)[:1], OTHER)
    assert not moved, "\n".join(moved)


NOT_OF_A_DEVICE = {
    "pumalib/jobs/devices.py": "chooses and names devices; tests/jobs",
    "pumalib/study/check_networks.py": "settings of networks",
    "pumalib/models/build.py": "builds on the CPU; whoever trains moves what is built",
    "pumalib/training/starting_weights.py": "fills a network before it moves",
    "pumalib/ranks.py": "several processes, which NCCL alone connects on devices; tests/training/test_ranks.py",
    "pumalib/training/job.py": "the same",
    "pumalib/planning/pieces.py": "timed or counted on the processor; tests/planning",
}
"""Modules whose functions do not compute on one, and why."""
if find_spec("autoattack") is None:
    NOT_OF_A_DEVICE["pumalib/attacks/autoattack.py"] = "the extra autoattack is not installed"
else:
    PATHS["evaluate autoattack"] = lambda _: evaluate(
        network(), points(), labels(), AutoattackSettings(), threat=THREAT
    )


@pytest.mark.parametrize("name", PATHS)
def test_path_runs_on_a_device(name: str, tmp_path: Path) -> None:
    device = run(name, tmp_path)
    assert device.work.launches > 0
    assert not device.no_kernel


def test_no_function_that_takes_a_device_or_a_network_is_left_out(tmp_path: Path) -> None:
    for name in PATHS:
        if name not in DONE:
            (tmp_path / name).mkdir(parents=True)
            run(name, tmp_path / name)
    missing = [
        f"{file}: {name}, which takes `{argument}`"
        for (file, name), argument in device_functions().items()
        if (file, name) not in CALLED and file not in NOT_OF_A_DEVICE
    ]
    assert not missing, "no path here calls these on a device; add one:\n" + "\n".join(missing)
