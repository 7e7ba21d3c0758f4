"""What no dataset, network or study can have is refused when the study is read, in one sentence."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pumalib.attacks.settings import CwPgdSettings
from pumalib.cli.main import main
from pumalib.errors import ConfigError
from pumalib.study.file import load_study, read_study_file
from pumalib.study.keys import as_page
from pumalib.study.plan import plan_of
from pumalib.study.study import Study
from pumalib.training.settings import TradesSettings

ROOT = Path(__file__).parents[2]
Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Change], Study]:
    """Return a reader of the default study with a change."""
    monkeypatch.chdir(tmp_path)

    def read(change: Change) -> Study:
        raw = read_study_file(ROOT / "config.yaml")
        change(raw)
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
        study = load_study(tmp_path / "study.yaml")
        assert isinstance(study, Study)
        return study

    return read


AMOUNTS: dict[str, tuple[Change, str]] = {
    "threat": (lambda raw: raw["threat"].update(epsilon=8), "got 8 at threat.epsilon"),
    "attack": (lambda raw: raw["attacks"]["cw"].update(epsilon=16), r"got 16 at attacks\.cw\.epsilon"),
    "step of an attack": (lambda raw: raw["attacks"]["cw"].update(step_size=2), r"got 2 at attacks\.cw\.step_size"),
    "step of a training": (
        lambda raw: raw["defaults"]["training"].update(attack_step_size=2),
        r"got 2 at runs\.trades\.training\.attack_step_size",
    ),
    "cap": (lambda raw: raw["runs"]["puma-20"]["epsilon"].update(cap=8), r"got 8 at runs\.puma-20\.epsilon\.cap"),
    "gap": (lambda raw: raw["runs"]["puma-20"]["epsilon"].update(gap=1.5), r"got 1\.5 at runs\.puma-20\.epsilon\.gap"),
    "fixed epsilon": (
        lambda raw: raw["runs"]["trades"].update(epsilon={"policy": "fixed", "epsilon": 2}),
        r"got 2 at runs\.trades\.epsilon\.epsilon",
    ),
    "step of a score": (
        lambda raw: raw["scores"].update(fast={"method": "fast_margin", "model": "trades", "step_size": 1.01}),
        r"got 1\.01 at scores\.fast\.step_size",
    ),
}


@pytest.mark.parametrize("name", AMOUNTS)
def test_amounts_farther_than_white_is_from_black_are_refused(changed: Callable[[Change], Study], name: str) -> None:
    change, message = AMOUNTS[name]
    with pytest.raises(ConfigError, match=rf"at most 1 apart, {message}; divide by 255"):
        changed(change)


def test_in_l2_images_are_as_far_apart_as_their_size_says(changed: Callable[[Change], Study]) -> None:
    """Two images of 8 x 8 pixels are at most sqrt(64) apart."""
    changed(lambda raw: raw["threat"].update(norm="l2", epsilon=7.9))
    with pytest.raises(ConfigError, match=r"at most 8 apart, got 8\.1 at threat\.epsilon"):
        changed(lambda raw: raw["threat"].update(norm="l2", epsilon=8.1))


def test_constants_of_0_to_255_are_refused(changed: Callable[[Change], Study]) -> None:
    for mean, std, name in (([125.3], [0.2], "mean"), ([0.4], [63.0], "std"), ([-0.1], [0.2], "mean")):
        architecture = {"name": "mlp", "mean": mean, "std": std}
        with pytest.raises(ConfigError, match=rf"expected {name} on the pixel scale \[0, 1\], got .*divide by 255"):
            changed(lambda raw, given=architecture: raw["defaults"].update(architecture=given))


@pytest.mark.parametrize(
    ("written", "value"),
    [("010", 8), ("0b11", 3), ("0x10", 16), ("1:30", 90), ("-017", -15), ("1:30.5", 90.5), ("0_1", 1)],
)
def test_numbers_that_yaml_reads_otherwise_than_they_look_are_refused(
    tmp_path: Path, written: str, value: float
) -> None:
    (tmp_path / "study.yaml").write_text(f"seeds: [{written}]\n")
    with pytest.raises(ConfigError, match=rf"expected a decimal number, got {written}, which YAML reads as {value};"):
        read_study_file(tmp_path / "study.yaml")
    (tmp_path / "study.yaml").write_text(f"seeds: ['{written}']\n")
    assert read_study_file(tmp_path / "study.yaml") == {"seeds": [written]}


@pytest.mark.parametrize("written", ["0", "-3", "+4", "1_000", "0.5", "1.5e-3", ".5"])
def test_numbers_that_are_as_they_look_are_read(tmp_path: Path, written: str) -> None:
    (tmp_path / "study.yaml").write_text(f"a: {written}\n")
    assert read_study_file(tmp_path / "study.yaml") == {"a": yaml.safe_load(written)}


@pytest.mark.parametrize("group", ["datasets", "pools", "scores", "runs", "attacks", "reports"])
def test_names_that_case_alone_tells_apart_are_refused(changed: Callable[[Change], Study], group: str) -> None:
    def repeat(raw: dict[str, Any]) -> None:
        name, entry = next(iter(raw[group].items()))
        raw[group][name.upper()] = entry

    with pytest.raises(ConfigError, match=f"differ in more than case, got .* at {group}; some disks"):
        changed(repeat)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw.update(seeds=[2**63]), "expected seeds of at most 9223372036854775807"),
        (lambda raw: raw["defaults"]["training"].update(epochs=10**400), "for epochs, got one of 401 digits"),
        (lambda raw: raw["defaults"]["architecture"].update(width=10**6), "width to be less than or equal to 65536"),
        (lambda raw: raw["defaults"].update(architecture="wrn-100000-10"), "a depth of at most 1000"),
        (
            lambda raw: raw["defaults"].update(architecture="wrn-28-1000"),
            "a depth of at most 1000 and a width of at most 100",
        ),
    ],
)
def test_sizes_beyond_what_files_or_machines_hold_are_refused(
    changed: Callable[[Change], Study], change: Change, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        changed(change)


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text", [BOMB, "[" * 5000, "{a: " * 5000, "- " * 5000, "a: &a [*a]", "x: " + "y" * (1 << 20)], ids=range(6)
)
def test_a_study_file_without_bound_ends_early(tmp_path: Path, text: str) -> None:
    (tmp_path / "study.yaml").write_text(text)
    started = time.monotonic()
    with pytest.raises(ConfigError):
        read_study_file(tmp_path / "study.yaml")
    assert time.monotonic() - started < 10


def npz(path: Path, labels: list[int]) -> str:
    images = np.zeros((len(labels), 8, 8, 1), np.uint8)
    np.savez(path, image=images, label=np.array(labels))
    return str(path)


@pytest.mark.parametrize(
    ("train", "test", "class_names", "message"),
    [
        ([0, 0, 0], [0], None, "expected at least two classes, got 1 at datasets.d"),
        ([0, 1, 10**9], [0, 1], None, "a row at least of each class, got label 1000000000 among 3 rows"),
        ([0, 1, 2], [0, 1, 2], ["a", "b"], r"labels in \[0, 2\), got 2 in .*train"),
        ([0, 1], [0, 5, 5, 5, 5, 5], None, r"labels in \[0, 2\), got 5 in .*test"),
        ([1, 2, -1], [1], None, "labels of at least 0, got -1"),
        ([0, 1], [0, 1], ["a", "a"], "class_names that tell classes apart, got a"),
        ([0, 1], [0, 1], ["a", " "], "class_names that tell classes apart, got an empty one"),
    ],
)
def test_what_a_check_can_know_of_labels_it_says(
    changed: Callable[[Change], Study],
    tmp_path: Path,
    train: list[int],
    test: list[int],
    class_names: list[str] | None,
    message: str,
) -> None:
    dataset = {"source": "npz", "train": npz(tmp_path / "train.npz", train), "test": npz(tmp_path / "test.npz", test)}
    dataset |= {"class_names": class_names} if class_names else {}
    with pytest.raises(ConfigError, match=message):
        changed(lambda raw: raw["datasets"].update(d=dataset))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TradesSettings(epoch=3), r'expected a known key, got "epoch"; did you mean "epochs"\? at epoch'),
        (lambda: CwPgdSettings(steps=0), r"expected steps to be greater than 0, got 0 at steps \(CwPgdSettings\)"),
        (lambda: CwPgdSettings(epsilon="a"), r'expected a number or a fraction such as "8/255", got "a"'),
    ],
)
def test_settings_in_python_are_refused_in_one_sentence(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_settings_in_python_need_not_repeat_their_name() -> None:
    assert CwPgdSettings(steps=20).method == "cw_pgd"


def test_plan_says_rows_draws_and_passes(changed: Callable[[Change], Study]) -> None:
    """1,797 digits, a third of them test, a tenth of the rest validation: worked out by hand."""

    def small(raw: dict[str, Any]) -> None:
        raw["datasets"]["digits"] = {
            "source": "digits",
            "split": "seeded",
            "test_fraction": 0.33,
            "validation_fraction": 0.1,
        }
        raw["defaults"]["training"].update(epochs=100, batch_size=100)
        raw["defaults"]["training"].pop("samples_per_epoch")

    plan = plan_of(changed(small))
    train = 1797 - 593
    rows = train - 120 + 10_000
    (run, *_) = plan.runs
    assert (run.rows, run.draws) == (rows, 100 * -(-rows // 100) * 100)
    assert plan.jobs == {"generators": 5, "trainings": 20, "score shards": 5, "attacks": 20, "reports": 4}
    assert len(plan.warnings) == len(plan.runs)
    assert "draws 1,110,000 rows from a pool of 11,084, 100 passes over it" in plan.warnings[0]


def test_plan_warns_of_large_amounts(changed: Callable[[Change], Study]) -> None:
    plan = plan_of(changed(lambda raw: raw["threat"].update(epsilon=0.6)))
    assert any("threat.epsilon is 0.6, more than half of the range" in told for told in plan.warnings)


def test_plan_says_that_numbered_classes_are_no_labels(changed: Callable[[Change], Study], tmp_path: Path) -> None:
    from PIL import Image

    for number in (3, 5, 12):
        (tmp_path / f"photos/{number}").mkdir(parents=True)
        for name in "abcd":
            Image.new("L", (8, 8)).save(tmp_path / f"photos/{number}/{name}.png")
    path = npz(tmp_path / "made.npz", [0, 1, 2])

    def own(raw: dict[str, Any]) -> None:
        raw["datasets"]["photos"] = {
            "source": "folder", "path": "photos", "image_size": 8, "channels": 1, "split": "seeded",
            "test_fraction": 0.25,
        }  # fmt: skip
        raw["pools"]["photos"] = {"dataset": "photos", "synthetic": {"method": "npz", "path": path}}

    plan = plan_of(changed(own))
    assert any("class 3 has label 0: label 0 of" in told for told in plan.warnings)


def test_check_prints_the_plan(changed: Callable[[Change], Study], capsys: pytest.CaptureFixture[str]) -> None:
    changed(lambda raw: raw["threat"].update(epsilon=0.6))
    assert main(["check", "study.yaml"]) == 0
    out = capsys.readouterr().out
    assert "passes over the pool" in out
    assert "20 trainings" in out
    assert "Warning: threat.epsilon is 0.6" in out


def test_page_of_keys_is_todays() -> None:
    assert (ROOT / "docs/keys.md").read_text(encoding="utf-8") == as_page(), "run `make keys`"


def test_an_alias_bomb_ends_early_in_plain_snakemake_too(tmp_path: Path) -> None:
    (tmp_path / "bomb.yaml").write_text(BOMB)
    command = [sys.executable, "-m", "snakemake", "-n", "--cores", "1", "--snakefile", str(ROOT / "Snakefile")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path)}
    started = time.monotonic()
    result = subprocess.run(
        [*command, "--configfile", "bomb.yaml"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode != 0
    assert time.monotonic() - started < 60
    assert "expected at most 100000 values" in result.stderr


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ({"name": "mlp", "width": 8}, None),
        ({"name": "mlp", "width": 16}, "expected the tensors of mlp in .*named at scores.elsewhere.model"),
        ({"name": "convnet"}, "expected the tensors of convnet in .*named at scores.elsewhere.model"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_told_by_check(
    changed: Callable[[Change], Study], tmp_path: Path, architecture: dict[str, Any], message: str | None
) -> None:
    import torch

    from pumalib.models.build import build_model
    from pumalib.models.settings import ArchitectureSettings
    from pumalib.study.check_checkpoints import check_checkpoints

    torch.save(build_model(ArchitectureSettings(name="mlp", width=8), (8, 8, 1), 10).state_dict(), tmp_path / "m.pt")
    model = {"checkpoint": str(tmp_path / "m.pt"), "architecture": architecture}
    study = changed(lambda raw: raw["scores"].update(elsewhere={"method": "deepfool", "model": model}))
    if message is None:
        check_checkpoints(study)
    else:
        with pytest.raises(ConfigError, match=message):
            check_checkpoints(study)


def photographs(folder: Path, count: int) -> dict[str, Any]:
    from PIL import Image

    for split, rows in (("train", count), ("test", 1)):
        for name in ("a", "b"):
            (folder / f"photos/{split}/{name}").mkdir(parents=True)
            for number in range(rows):
                Image.new("L", (8, 8)).save(folder / f"photos/{split}/{name}/{number}.png")
    return {"source": "folder", "path": "photos", "image_size": 8, "channels": 1}


@pytest.mark.parametrize(
    ("make", "count", "message"),
    [
        (lambda folder: {"source": "fashion_mnist"}, 15_000, "expected seeds below 4, .* 15000 of 60,000 train rows"),
        (lambda folder: photographs(folder, 10), 6, "expected seeds below 3, .* 6 of 20 train rows, got seed 4"),
    ],
    ids=["known", "counted"],
)
def test_seeds_beyond_what_disjoint_train_rows_hold_are_refused(
    changed: Callable[[Change], Study],
    tmp_path: Path,
    make: Callable[[Path], dict[str, Any]],
    count: int,
    message: str,
) -> None:
    own = {**make(tmp_path), "train_count": count, "train_rows": "disjoint"}
    with pytest.raises(ConfigError, match=message):
        changed(lambda raw: raw["datasets"].update(more=own))
