import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pumalib.data.image_readers import JoinedImages
from pumalib.data.images import LabelledImages
from pumalib.data.pool import REAL, SYNTHETIC, Pool, build_pool, open_pool, read_pool_rows
from pumalib.errors import ArtifactError, DataError
from pumalib.files.digests import seal

Writer = Callable[..., Path]
NUM_REAL, NUM_SYNTHETIC = 9, 5


@pytest.fixture
def results(tmp_path: Path, labelled: Any, write_dataset: Writer, write_synthetic: Writer) -> Path:
    """Return a results folder with a pool over a dataset and a synthetic set, as the workflow lays them out."""
    root = tmp_path / "results" / "study"
    dataset = write_dataset(root / "datasets/d/seed0.h5", train=labelled(0, NUM_REAL), test=labelled(9, 7))
    synthetic = write_synthetic(root / "synthetic/p/seed0.h5", labelled(1, NUM_SYNTHETIC))
    build_pool(dataset, synthetic, root / "pools/p/seed0.h5", settings={"dataset": "d"})
    return root


def pool_path(root: Path) -> Path:
    return root / "pools/p/seed0.h5"


def expected(labelled: Any) -> tuple[np.ndarray, np.ndarray]:
    real, synthetic = labelled(0, NUM_REAL), labelled(1, NUM_SYNTHETIC)
    return np.concatenate([real.images, synthetic.images]), np.concatenate([real.labels, synthetic.labels])


def test_rows_are_real_then_synthetic_in_the_order_of_their_files(results: Path, labelled: Any) -> None:
    pool = open_pool(pool_path(results))
    images, labels = expected(labelled)
    assert len(pool) == len(pool.images) == NUM_REAL + NUM_SYNTHETIC
    assert np.array_equal(pool.images[np.arange(len(pool))], images)
    assert np.array_equal(pool.labels, labels)
    assert pool.source.tolist() == [REAL] * NUM_REAL + [SYNTHETIC] * NUM_SYNTHETIC
    assert pool.class_names == ("class 0", "class 1", "class 2", "class 3")
    assert (pool.image_shape, pool.images.shape) == ((4, 4, 3), (14, 4, 4, 3))


def test_people_read_the_same_pool_with_plain_h5py(results: Path, labelled: Any) -> None:
    images, labels = expected(labelled)
    with h5py.File(pool_path(results)) as file:
        assert file["images"].is_virtual
        assert np.array_equal(file["images"][...], images)
        assert np.array_equal(file["labels"][...], labels)
        assert file["labels"].dtype == np.int64
        assert file["source"][...].tolist() == open_pool(pool_path(results)).source.tolist()


def test_rows_without_images_are_those_of_the_pool(results: Path) -> None:
    pool, rows = open_pool(pool_path(results)), read_pool_rows(pool_path(results))
    assert np.array_equal(rows.labels, pool.labels)
    assert np.array_equal(rows.source, pool.source)
    assert (rows.fingerprint, rows.class_names) == (pool.fingerprint, pool.class_names)


def test_pool_without_synthetic_rows_is_the_train_split(tmp_path: Path, labelled: Any, write_dataset: Writer) -> None:
    dataset = write_dataset(tmp_path / "d.h5", train=labelled(0, 9), test=labelled(1, 9))
    build_pool(dataset, None, tmp_path / "p.h5", settings={})
    pool = open_pool(tmp_path / "p.h5")
    assert np.array_equal(pool.images[:], labelled(0, 9).images)
    assert pool.source.tolist() == [REAL] * 9


def test_fingerprint_follows_the_content_and_nothing_else(
    results: Path, tmp_path: Path, labelled: Any, write_dataset: Writer, write_synthetic: Writer
) -> None:
    first = open_pool(pool_path(results)).fingerprint
    build_pool(
        write_dataset(tmp_path / "d.h5", train=labelled(0, NUM_REAL), test=labelled(8, 3)),
        write_synthetic(tmp_path / "s.h5", labelled(1, NUM_SYNTHETIC)),
        tmp_path / "same.h5",
        settings={"another": "slice"},
    )
    assert open_pool(tmp_path / "same.h5").fingerprint == first
    build_pool(tmp_path / "d.h5", None, tmp_path / "real.h5", settings={})
    other = labelled(1, NUM_SYNTHETIC)
    other.labels[0] = (other.labels[0] + 1) % 4
    build_pool(tmp_path / "d.h5", write_synthetic(tmp_path / "o.h5", other), tmp_path / "other.h5", settings={})
    fingerprints = {first, *(open_pool(tmp_path / f"{name}.h5").fingerprint for name in ("real", "other"))}
    assert len(fingerprints) == 3


def test_same_content_gives_the_same_bytes(results: Path) -> None:
    before = pool_path(results).read_bytes()
    build_pool(results / "datasets/d/seed0.h5", results / "synthetic/p/seed0.h5", pool_path(results), {"dataset": "d"})
    assert pool_path(results).read_bytes() == before


def test_moved_results_folder_still_works_for_programs_and_people(results: Path, labelled: Any, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.move(results, moved)
    images, _ = expected(labelled)
    assert np.array_equal(open_pool(pool_path(moved)).images[:], images)
    with h5py.File(pool_path(moved)) as file:
        assert np.array_equal(file["images"][...], images)


def test_pool_built_with_relative_paths_opens_from_another_folder(
    results: Path, labelled: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(results.parent)
    relative = Path("study")
    build_pool(
        relative / "datasets/d/seed0.h5", relative / "synthetic/p/seed0.h5", relative / "pools/q.h5", settings={}
    )
    monkeypatch.chdir(tmp_path)
    assert np.array_equal(open_pool(results / "pools/q.h5").images[:], expected(labelled)[0])


@settings(deadline=None, max_examples=150)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    rows=st.lists(st.integers(0, 10**6), max_size=30),
    dtype=st.sampled_from([np.int64, np.int32, np.uint8]),
    cut=st.slices(12),
)
def test_indexing_is_indexing_of_the_concatenated_parts(
    sizes: list[int], rows: list[int], dtype: Any, cut: slice
) -> None:
    generator = np.random.default_rng(len(rows))
    parts = tuple(generator.integers(0, 256, (size, 2, 3, 1), dtype=np.uint8) for size in sizes)
    whole, images = np.concatenate(parts), JoinedImages(parts)
    chosen = np.array([row % len(whole) for row in rows], dtype)
    assert np.array_equal(images[chosen], whole[chosen.astype(int)])
    assert np.array_equal(images[cut], whole[cut])
    assert images.shape == whole.shape


@pytest.mark.parametrize("row", [-1, NUM_REAL + NUM_SYNTHETIC])
def test_rows_outside_the_pool_are_refused_not_invented(results: Path, row: int) -> None:
    with pytest.raises(IndexError, match=r"expected rows in \[0, 14\)"):
        open_pool(pool_path(results)).images[np.array([0, row])]


def test_mask_is_refused_not_read_as_rows_0_and_1(results: Path) -> None:
    with pytest.raises(TypeError, match=r"expected row numbers as integers, got bool; a mask needs np.flatnonzero"):
        open_pool(pool_path(results)).images[np.ones(14, bool)]


def test_pool_cannot_be_written_through(results: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        open_pool(pool_path(results)).images.parts[0][0] = 0


@pytest.mark.parametrize("source", ["datasets/d/seed0.h5", "synthetic/p/seed0.h5"])
def test_missing_source_is_refused_where_h5py_gives_zeros(results: Path, source: str) -> None:
    (results / source).unlink()
    rows = slice(0, NUM_REAL) if source.startswith("datasets") else slice(NUM_REAL, None)
    with h5py.File(pool_path(results)) as file:  # the danger is real: no error, and no image
        assert not file["images"][rows].any()
    for read in (open_pool, read_pool_rows):
        with pytest.raises(
            ArtifactError, match=f"expected .*{source}, a source of the pool .*found nothing; make it again"
        ):
            read(pool_path(results))


@pytest.mark.parametrize("change", ["label", "pixel"])
def test_changed_source_is_refused(results: Path, labelled: Any, write_synthetic: Writer, change: str) -> None:
    images = labelled(1, NUM_SYNTHETIC)
    if change == "label":
        images.labels[0] = (images.labels[0] + 1) % 4
    else:
        images.images[0, 0, 0, 0] ^= 1
    write_synthetic(results / "synthetic/p/seed0.h5", images)
    for read in (open_pool, read_pool_rows):
        with pytest.raises(ArtifactError, match=r"expected the source of pool .* with fingerprint .* made for another"):
            read(pool_path(results))


def test_truncated_source_is_refused(results: Path) -> None:
    source = results / "synthetic/p/seed0.h5"
    source.write_bytes(source.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=r"truncated or damaged HDF5 file at .*synthetic"):
        open_pool(pool_path(results))


def rewrite_images(path: Path, images: np.ndarray, **options: Any) -> None:
    """Put other images under the fingerprint that is there."""
    with h5py.File(path, "r+") as file:
        del file["images"]
        file.create_dataset("images", data=images, **options)
    seal(path)


@pytest.mark.parametrize(
    ("options", "got"),
    [
        ({"chunks": (2, 4, 4, 3)}, "chunked uint8"),
        ({"compression": "gzip"}, "chunked uint8"),
        ({"dtype": np.float32}, "contiguous float32"),
    ],
)
def test_source_that_cannot_be_memory_mapped_is_refused(
    results: Path, labelled: Any, options: dict[str, Any], got: str
) -> None:
    rewrite_images(results / "synthetic/p/seed0.h5", labelled(1, NUM_SYNTHETIC).images, **options)
    message = (
        rf"expected contiguous, uncompressed images uint8 .*, got {got} \[5, 4, 4, 3\]|'images' stored whole, got \(5,"
    )
    with pytest.raises(ArtifactError, match=message):
        open_pool(pool_path(results))


def test_source_with_another_number_of_images_is_refused(results: Path, labelled: Any) -> None:
    rewrite_images(results / "synthetic/p/seed0.h5", labelled(1, NUM_SYNTHETIC - 1).images)
    with pytest.raises(ArtifactError, match=r"expected 5 labels and images in .*seed0\.h5, got 5 and 4; make it again"):
        open_pool(pool_path(results))


def test_source_of_another_number_of_rows_than_the_pool_says_is_refused(results: Path) -> None:
    with h5py.File(pool_path(results), "r+") as file:
        described = json.loads(file.attrs["sources"])
        described[1]["rows"] += 1
        file.attrs["sources"] = json.dumps(described)
    seal(pool_path(results))
    with pytest.raises(ArtifactError, match=r"expected 6 labels and images in .*, got 5 and 5"):
        open_pool(pool_path(results))


def test_pool_whose_sources_column_has_another_length_is_refused(results: Path) -> None:
    with h5py.File(pool_path(results), "r+") as file:
        del file["source"]
        file["source"] = np.zeros(3, np.uint8)
    seal(pool_path(results))
    with pytest.raises(ArtifactError, match=r"expected 14 values of 'source', 0 or 1, in .*, got 3"):
        open_pool(pool_path(results))


def test_dataset_in_the_place_of_a_synthetic_set_is_refused(
    results: Path, write_dataset: Writer, labelled: Any
) -> None:
    write_dataset(results / "synthetic/p/seed0.h5", train=labelled(1, NUM_SYNTHETIC))
    with pytest.raises(ArtifactError, match=r"expected schema puma\.synthetic, got puma\.dataset"):
        open_pool(pool_path(results))


@pytest.mark.parametrize(
    ("synthetic", "message"),
    [
        ({"side": 5}, r"expected images of shape \(4, 4, 3\) as in .*d\.h5, got \(5, 5, 3\) in .*s\.h5"),
        ({"channels": 1}, r"expected images of shape \(4, 4, 3\) as in .*d\.h5, got \(4, 4, 1\) in .*s\.h5"),
        ({"num_classes": 5}, r"expected labels in \[0, 4\), the classes of .*d\.h5, got 0\.\.4 in .*s\.h5"),
    ],
)
def test_synthetic_set_that_does_not_fit_the_dataset_is_refused(
    tmp_path: Path,
    labelled: Any,
    write_dataset: Writer,
    write_synthetic: Writer,
    synthetic: dict[str, int],
    message: str,
) -> None:
    dataset = write_dataset(tmp_path / "d.h5", train=labelled(0, 8), test=labelled(1, 8))
    other = write_synthetic(tmp_path / "s.h5", labelled(2, 10, **synthetic))
    with pytest.raises(DataError, match=message):
        build_pool(dataset, other, tmp_path / "p.h5", settings={})
    assert not (tmp_path / "p.h5").exists()


def test_images_are_mapped_not_read(results: Path) -> None:
    pool: Pool = open_pool(pool_path(results))
    assert all(isinstance(part, np.memmap) for part in pool.images.parts)


def test_labelled_images_of_a_pool_take_rows_in_the_given_order(labelled: Callable[..., LabelledImages]) -> None:
    images = labelled(0, 6)
    taken = images.take(np.array([4, 0, 4]))
    assert taken.labels.tolist() == [images.labels[row] for row in (4, 0, 4)]
    assert np.array_equal(taken.images[0], images.images[4])
