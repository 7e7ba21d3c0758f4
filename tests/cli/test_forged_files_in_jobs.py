"""Files that somebody forged, digests and all, before the jobs that read them: one sentence, or a result."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from forgeries import (
    HDF5,
    METADATA,
    MUST_BE_NOTICED,
    TABLES,
    UNREAD,
    WEIGHTS,
    bounded,
    forge,
    forge_weights,
    forgeries_of,
    keys_of,
)
from small_study import DIFFICULTY, EDM, SmallStudy

from pumalib.attacks.settings import CwPgdSettings
from pumalib.data.pool import build_learned_pool, build_pool
from pumalib.data.settings import GeneratedSyntheticSettings
from pumalib.errors import PumaError
from pumalib.files.tables import checksum_path
from pumalib.reporting.kinds.training_curves import curves_table, read_histories
from pumalib.reporting.run_files import RunFile
from pumalib.results.collect import RunFiles, write_results
from pumalib.synthesis.synthetic import SyntheticInputs, make_synthetic


def margin_of(study: SmallStudy) -> dict[str, Path]:
    return {"margin": study.folder / "scores/margin/seed0.h5"}


def attack(study: SmallStudy) -> None:
    study.attack("puma", CwPgdSettings(method="cw_pgd", steps=1, num_images=10), "again")


def pool(study: SmallStudy) -> None:
    described = {"dataset": "digits", "synthetic": {}, "learned": None}
    build_pool(study.dataset, study.folder / "synthetic/digits+20/seed0.h5", study.folder / "again.h5", described)


def learned_pool(study: SmallStudy) -> None:
    build_learned_pool(study.folder / "learned/robustified/seed0.h5", study.folder / "again.h5", {"learned": {}})


def generate(study: SmallStudy) -> None:
    generator = study.folder / "generators/edm/seed0/model.safetensors"
    settings = GeneratedSyntheticSettings(method="generator", generator="edm", count=5)
    make_synthetic(settings, SyntheticInputs(study.dataset, generator, EDM, 0, "cpu"), study.folder / "again.h5")


def results(study: SmallStudy) -> None:
    attacks = {name: study.attacked("puma", name) for name in ("cw", "shortest")}
    files = [RunFiles("puma", 0, "digits+20", study.selection("puma"), attacks)]
    write_results("small", files, study.folder / "again.csv")


def tracked(study: SmallStudy) -> None:
    study.score_tracks("difficulty", DIFFICULTY, [study.folder / "models/trades/seed0/track.h5"])


READERS: dict[str, list[Callable[[SmallStudy], None]]] = {
    "datasets": [pool, attack],
    "synthetic": [pool, lambda study: study.train("trades", {})],
    "learned": [learned_pool],
    "pools": [lambda study: study.select("trades", {}), SmallStudy.score_margins],
    "scores": [lambda study: study.select("puma", margin_of(study))],
    "selections": [results],
    "models": [attack, SmallStudy.score_margins],
    "attacks": [results],
    "generators": [generate],
}


def readers_of(name: str) -> list[Callable[[SmallStudy], None]]:
    return [tracked] if name.endswith("track.h5") else READERS[name.partition("/")[0]]


def refusals(work: Callable[[], Any]) -> list[str]:
    """Return the one sentence of an error that is for users; any other error is raised."""
    try:
        work()
    except PumaError as error:
        return [str(error)]
    return []


def run_in_jobs(study: Path, name: str, change: Callable[[Path], None]) -> list[str]:
    """Change a file, let every job read it that does, and put it back; return what they refused."""
    path, refused = study / name, []
    whole = path.read_bytes()
    try:
        change(path)
        for read in readers_of(name):
            with bounded():
                refused += refusals(lambda read=read: read(SmallStudy(study)))
    finally:
        path.write_bytes(whole)
    assert all(len(sentence.splitlines()) == 1 for sentence in refused)
    return refused


def check_forgery(study: Path, name: str, forgery: tuple[str, str, str]) -> None:
    what, column, how = forgery
    refused = run_in_jobs(study, name, lambda path: forge(path, *forgery))
    is_read = not (name.startswith("pools") and column in UNREAD)
    if what == "dataset" and column in {"rows", "epsilons", "score", "valid", "label", "train/images", "train/labels"}:
        assert refused or how not in MUST_BE_NOTICED or not is_read


def check_metadata(study: Path, name: str, key: str, how: str) -> None:
    run_in_jobs(study, name, lambda path: forge_weights(path, key, how))


@pytest.mark.parametrize("name", HDF5)
def test_some_forgeries_of_a_file_are_refused_or_read_by_jobs(copied_study: Path, name: str) -> None:
    for forgery in random.Random(f"jobs {name}").sample(forgeries_of(copied_study / name), 2):
        check_forgery(copied_study, name, forgery)


@pytest.mark.parametrize("name", WEIGHTS)
def test_some_forged_metadata_are_refused_or_read_by_jobs(copied_study: Path, name: str) -> None:
    chance = random.Random(f"jobs {name}")
    for key in chance.sample(keys_of(copied_study / name), 3):
        check_metadata(copied_study, name, key, chance.choice(list(METADATA)))


@pytest.mark.parametrize("how", TABLES)
def test_forged_histories_are_refused_or_read_by_reports(copied_study: Path, how: str) -> None:
    path = copied_study / "models/puma/seed0/history.csv"
    checksum_path(path).unlink()
    path.write_bytes(TABLES[how](path.read_bytes()))
    with bounded():
        sentences = refusals(lambda: curves_table(read_histories([RunFile("puma", 0, path)])))
    assert all(len(sentence.splitlines()) == 1 for sentence in sentences)


@pytest.mark.parametrize("column", ["clean_accuracy", "robust_accuracy", "images_seen"])
def test_words_for_numbers_in_a_history_are_refused(copied_study: Path, column: str) -> None:
    path = copied_study / "models/puma/seed0/history.csv"
    checksum_path(path).unlink()
    pd.read_csv(path).astype({column: str}).assign(**{column: "x"}).to_csv(path, index=False)
    (sentence,) = refusals(lambda: read_histories([RunFile("puma", 0, path)]))
    assert f"expected numbers in the column {column}, got words at" in sentence


def failures(cases: list[tuple[Any, ...]], check: Callable[..., None]) -> list[str]:
    """Return what went wrong, of all cases."""
    found = []
    for case in cases:
        try:
            check(*case)
        except Exception as error:
            found.append(f"{case[1:]}: {type(error).__name__} {str(error)[:200]}")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", HDF5)
def test_every_forgery_of_a_file_is_refused_or_read_by_jobs(copied_study: Path, name: str) -> None:
    cases = [(copied_study, name, forgery) for forgery in forgeries_of(copied_study / name)]
    assert len(cases) >= 75
    assert failures(cases, check_forgery) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", WEIGHTS)
def test_all_forged_metadata_are_refused_or_read_by_jobs(copied_study: Path, name: str) -> None:
    cases = [(copied_study, name, key, how) for key in keys_of(copied_study / name) for how in METADATA]
    assert failures(cases, check_metadata) == []
