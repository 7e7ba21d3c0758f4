"""Track files: what is written comes back, and what does not fit is refused."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from pumalib.errors import ArtifactError
from pumalib.files.digests import seal
from pumalib.files.origin import Input, Origin
from pumalib.tracks.file import Quantity, Track, Visits, read_track, write_track


def a_track(num_rows: int = 5) -> Track:
    generator = np.random.default_rng(0)
    epochs = np.array([1, 4])
    return Track(
        num_rows,
        {
            "correct": Quantity(epochs, generator.random((2, num_rows)) < 0.5),
            "el2n": Quantity(epochs, generator.random((2, num_rows), np.float32)),
            "aign": Quantity(epochs, generator.random((2, num_rows), np.float32), "l1"),
        },
        Visits(np.arange(num_rows, dtype=np.int32) + 2, np.arange(num_rows, dtype=np.int32)),
    )


def write(track: Track, path: Path) -> Path:
    write_track(track, path, "pool", Origin({"track": {}}, {"pool": Input(None, "pool")}))
    return path


def test_a_track_comes_back_as_it_was_written(tmp_path: Path) -> None:
    track = a_track()
    found = read_track(write(track, tmp_path / "track.h5"), "pool")
    assert found.names == track.names == ("aign", "correct", "el2n", "visits")
    for name, quantity in track.quantities.items():
        assert np.array_equal(found.quantities[name].epochs, quantity.epochs)
        assert found.quantities[name].values.dtype == quantity.values.dtype
        assert np.array_equal(found.quantities[name].values, quantity.values)
        assert found.quantities[name].norm == quantity.norm
    assert found.visits is not None
    assert found.visits.count.tolist() == [2, 3, 4, 5, 6]
    assert found.visits.wrong.tolist() == [0, 1, 2, 3, 4]


def test_a_track_of_nothing_is_a_file_too(tmp_path: Path) -> None:
    found = read_track(write(Track(5, {}), tmp_path / "track.h5"), "pool")
    assert (found.num_rows, found.names) == (5, ())


def test_only_the_parts_asked_for_are_read(tmp_path: Path) -> None:
    path = write(a_track(), tmp_path / "track.h5")
    assert read_track(path, only=("el2n", "grand")).names == ("el2n",)
    assert read_track(path, only=("visits",)).names == ("visits",)


def test_equal_tracks_give_equal_bytes(tmp_path: Path) -> None:
    first, again = (write(a_track(), tmp_path / name).read_bytes() for name in ("a/track.h5", "b/track.h5"))
    assert first == again


def shorten_epochs(file: h5py.File) -> None:
    file["el2n"].attrs["epochs"] = np.array([1])


def lose_a_norm(file: h5py.File) -> None:
    del file["aign"].attrs["norm"]


def drop_a_visit(file: h5py.File) -> None:
    counts = file["visits/wrong"][1:]
    del file["visits/wrong"]
    file["visits/wrong"] = counts


def lose_a_count(file: h5py.File) -> None:
    del file["visits/count"]


def make_numbers_of_booleans(file: h5py.File) -> None:
    values = file["correct"][...].astype(np.float32)
    del file["correct"]
    file["correct"] = values


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shorten_epochs, r"expected el2n of shape \(1, 5\), got \(2, 5\)"),
        (lose_a_norm, "expected a readable track file"),
        (drop_a_visit, r"expected visits/wrong of shape \(5,\), got \(4,\)"),
        (lose_a_count, "expected dataset 'count'"),
        (make_numbers_of_booleans, "expected 'correct' as bool"),
    ],
)
def test_parts_that_do_not_fit_are_refused(tmp_path: Path, damage: Callable[[h5py.File], None], message: str) -> None:
    path = write(a_track(), tmp_path / "track.h5")
    with h5py.File(path, "r+") as file:
        damage(file)
    seal(path)
    with pytest.raises(ArtifactError, match=message):
        read_track(path)


def test_a_track_of_another_pool_is_refused(tmp_path: Path) -> None:
    path = write(a_track(), tmp_path / "track.h5")
    with pytest.raises(ArtifactError, match="made for another pool"):
        read_track(path, "other")
