"""Records in RobustBench's form, from files whose accuracies are counted by hand."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pumalib.cli.main import main
from pumalib.data.datasets import prepare_dataset
from pumalib.data.settings import DigitsSettings
from pumalib.files.artifacts import create_artifact
from pumalib.files.origin import Input, Maker
from pumalib.lineage.robustbench import record_of
from pumalib.models.build import build_model
from pumalib.models.settings import ArchitectureSettings
from pumalib.models.trained import save_trained
from pumalib.results.collect import RunFiles, write_results

Capture = pytest.CaptureFixture[str]
LABELS = [0, 1, 2, 0, 1, 2, 0, 1]
NETWORK = ArchitectureSettings(name="mlp", width=4)


def wrong(count: int) -> list[int]:
    """Return predictions of which the first so many are wrong."""
    return [9] * count + LABELS[count:]


class ByHand:
    """The results of a study of one checkpoint and hand-made predictions, two seeds."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.maker = folder, Maker({"python": "3"}, folder)
        self.entries: list[RunFiles] = []
        self.dataset = folder / "datasets/digits.h5"
        digits = DigitsSettings(source="digits", split="seeded", test_fraction=0.3, test_count=20, train_count=20)
        prepare_dataset(digits, 0, folder, self.dataset)

    def add(self, seed: int, num_wrong: int, **attacks: dict[str, Any]) -> None:
        """Add a seed whose clean predictions have so many errors."""
        model = self.folder / f"models/theirs/seed{seed}/model.safetensors"
        origin = self.maker.origin({"checkpoint": "elsewhere.pt"}, {"checkpoint": Input(Path("elsewhere.pt"), "f")})
        save_trained(build_model(NETWORK, (8, 8, 1), 10, 0), model, NETWORK, (8, 8, 1), tuple("0123456789"), origin)
        paths = {name: self.attack(seed, name, wrong(num_wrong), **each) for name, each in attacks.items()}
        self.entries.append(RunFiles("theirs", seed, "digits", None, paths))
        write_results("by-hand", self.entries, self.folder / "results.csv")

    def attack(
        self, seed: int, name: str, clean: Sequence[int], fooled: int = 0, split: str = "test", **settings: Any
    ) -> Path:
        path = self.folder / f"attacks/theirs/seed{seed}/{name}.h5"
        inputs = {
            "model": Input(self.folder / f"models/theirs/seed{seed}/model.safetensors", "f"),
            "dataset": Input(self.dataset, "f", split),
            "selection of model": Input(None, ""),
        }
        threat = {"threat": {"norm": "linf", "epsilon": 8 / 255}, "epsilon": None, "seed": seed}
        columns = {"label": LABELS, "clean_prediction": clean, "adversarial_prediction": wrong(fooled)}
        with create_artifact(path, "attack", self.maker.origin({**threat, **settings}, inputs)) as file:
            file.attrs["method"], file.attrs["split"] = settings["method"], split
            file.attrs.update({key: settings[key] for key in ("variant",) if key in settings})
            for column, values in {"row": range(len(LABELS)), **columns}.items():
                file[column] = np.array(values, np.int64)
        return path


@pytest.fixture
def by_hand(tmp_path: Path) -> ByHand:
    """Return results of which clean accuracy is 7/8 and 6/8, and robust accuracy under `aa` 3/8 and 4/8."""
    study = ByHand(tmp_path / "results/by-hand")
    cw = {"method": "cw_pgd", "steps": 40, "restarts": 2, "fooled": 4}
    study.add(0, 1, aa={"method": "autoattack", "fooled": 5}, cw=cw)
    study.add(3, 2, aa={"method": "autoattack", "fooled": 4}, cw=cw)
    return study


def test_means_over_seeds_are_those_counted_by_hand(by_hand: ByHand) -> None:
    record = record_of(by_hand.folder / "results.csv", "theirs")
    assert record == {
        "link": "",
        "name": "theirs of study by-hand",
        "authors": "",
        "additional_data": False,
        "number_forward_passes": 1,
        "dataset": "digits",
        "venue": "",
        "architecture": "mlp",
        "eps": "8/255",
        "clean_acc": "81.25",  # (7 + 6) / 16
        "reported": "43.75",  # (3 + 4) / 16
        "autoattack_acc": "43.75",
        "footnote": "One model, trained elsewhere. Test rows and random starts of seeds 0, 3. Robust accuracy under "
        "AutoAttack. Clean accuracy on 8 test images, robust accuracy on 8. Measured with PUMA, study by-hand.",
    }


def test_one_seed_under_another_attack_is_reported_and_never_called_autoattack(by_hand: ByHand) -> None:
    record = record_of(by_hand.folder / "results.csv", "theirs", "cw", 3)
    assert (record["clean_acc"], record["reported"]) == ("75.00", "50.00")
    assert "autoattack_acc" not in record
    assert record["footnote"].startswith(
        "One model, trained elsewhere. Test rows and random starts of seed 3. Robust accuracy under the attack cw "
        "(cw_pgd, 40 steps, 2 restarts), which is not standard AutoAttack."
    )


def test_the_command_writes_what_a_user_tells_of_the_paper(by_hand: ByHand, capsys: Capture, tmp_path: Path) -> None:
    path = str(by_hand.folder / "results.csv")
    told = ["--name", "A title", "--authors", "A, B", "--venue", "Nowhere 2026", "--link", "l", "--additional-data"]
    assert main(["robustbench", path, "--run", "theirs", *told, "--out", str(tmp_path / "theirs.json")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "theirs.json")
    record = json.loads((tmp_path / "theirs.json").read_text())
    assert [record[key] for key in ("name", "authors", "venue", "link")] == ["A title", "A, B", "Nowhere 2026", "l"]
    assert record["additional_data"] is True
    assert main(["robustbench", path, "--run", "theirs", "--seed", "0"]) == 0
    assert json.loads(capsys.readouterr().out)["autoattack_acc"] == "37.50"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--run", "their"], 'got "their"; did you mean "theirs"?'),
        (["--run", "theirs", "--seed", "1"], "expected a seed of theirs, which has 0, 3, got 1"),
        (["--run", "theirs", "--attack", "pgd"], "found none; there is"),
        (["--run", "theirs", "--attack", "none"], "found none; there is"),
    ],
)
def test_what_is_not_there_is_refused(by_hand: ByHand, capsys: Capture, arguments: list[str], message: str) -> None:
    assert main(["robustbench", str(by_hand.folder / "results.csv"), *arguments]) == 1
    assert message in capsys.readouterr().err


def test_autoattack_of_few_classes_is_not_called_that(tmp_path: Path) -> None:
    study = ByHand(tmp_path / "results/by-hand")
    study.add(0, 1, aa={"method": "autoattack", "fooled": 5, "variant": "for few classes: APGD-CE"})
    record = record_of(study.folder / "results.csv", "theirs")
    assert record["reported"] == "37.50"
    assert "autoattack_acc" not in record
    assert "(autoattack, for few classes: APGD-CE), which is not standard AutoAttack." in record["footnote"]


def test_without_autoattack_several_attacks_are_refused_and_validation_rows_too(
    tmp_path: Path, capsys: Capture
) -> None:
    study = ByHand(tmp_path / "results/by-hand")
    study.add(0, 1, cw={"method": "cw_pgd"}, pgd={"method": "pgd", "split": "validation"})
    path = str(study.folder / "results.csv")
    assert main(["robustbench", path, "--run", "theirs"]) == 1
    assert "expected one attack that decides the robust accuracy of theirs, got cw, pgd" in capsys.readouterr().err
    assert main(["robustbench", path, "--run", "theirs", "--attack", "pgd"]) == 1
    assert "expected an attack on test rows" in capsys.readouterr().err


def test_a_number_that_its_table_does_not_give_is_refused(by_hand: ByHand, capsys: Capture) -> None:
    path = by_hand.folder / "results.csv"
    path.write_text(path.read_text().replace("0.375", "0.875"))
    assert main(["robustbench", str(path), "--run", "theirs"]) == 1
    assert "expected value 0.375 as" in capsys.readouterr().err


def test_a_run_of_the_study_has_the_numbers_of_its_results(in_study: Path) -> None:
    lines = [line.split(",") for line in (in_study / "results.csv").read_text().splitlines()]
    values = {(line[1], line[7], line[8]): line[9] for line in lines}
    record = record_of(in_study / "results.csv", "trades")
    assert record["clean_acc"] == f"{100 * float(values['trades', 'none', 'clean_accuracy']):.2f}"
    assert record["reported"] == f"{100 * float(values['trades', 'cw', 'robust_accuracy']):.2f}"
    assert record["eps"] == "51/255"
    assert record["footnote"].startswith("Seed 0. Robust accuracy under the attack cw (cw_pgd, 2 steps, 1 restart)")
