import os
import struct
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from pumalib.errors import ArtifactError
from pumalib.files.artifacts import (
    SCHEMA_VERSIONS,
    content_fingerprint,
    create_artifact,
    expect_fingerprint,
    file_fingerprint,
    open_artifact,
    read_array,
    write_text,
    writing,
)
from pumalib.files.digests import seal
from pumalib.files.origin import Input, Origin


class Interruption(BaseException):
    """An end that no `except Exception` catches, as Ctrl-C."""


def an_origin(folder: Path) -> Origin:
    inputs = {"pool": Input(folder / "pool.h5", "f", "train"), "model": Input(None, "g")}
    return Origin(settings={"b": 1, "a": [1, 2]}, inputs=inputs, code={"m": "c"})


def make(path: Path, kind: str = "scores", value: int = 0) -> Path:
    with create_artifact(path, kind, an_origin(path.parent)) as file:
        file.create_dataset("score", data=np.arange(300) + value)
        file.create_group("group").attrs["x"] = 1
    return path


def fail_over_artifact(path: Path, error: type[BaseException]) -> None:
    with create_artifact(path, "scores") as file:
        file.create_dataset("score", data=np.arange(3))
        raise error


def fail_over_bytes(path: Path, error: type[BaseException]) -> None:
    with writing(path) as temporary:
        temporary.write_bytes(b"half")
        raise error


@pytest.mark.parametrize("error", [ValueError, Interruption])
@pytest.mark.parametrize("exists", [False, True])
def test_failure_while_writing_leaves_the_folder_as_it_was(
    tmp_path: Path, error: type[BaseException], exists: bool
) -> None:
    target = tmp_path / "out" / "file.h5"
    if exists:
        make(target)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for write in (fail_over_artifact, fail_over_bytes):
        with pytest.raises(error):
            write(target, error)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_file_is_not_at_its_place_before_it_is_complete(tmp_path: Path) -> None:
    target = make(tmp_path / "file.h5")
    before = target.read_bytes()
    with create_artifact(target, "scores") as file:
        file.create_dataset("score", data=np.arange(3))
        file.flush()
        assert target.read_bytes() == before
    assert target.read_bytes() != before
    assert os.listdir(tmp_path) == ["file.h5"]


def test_text_is_written_whole_into_folders_that_are_made(tmp_path: Path) -> None:
    write_text(tmp_path / "a/b/c.txt", "größe\n")
    assert (tmp_path / "a/b/c.txt").read_bytes() == "größe\n".encode()
    assert os.listdir(tmp_path / "a/b") == ["c.txt"]


def test_nothing_written_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), writing(tmp_path / "x"):
        pass
    assert os.listdir(tmp_path) == []


def test_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    assert make(tmp_path / "a.h5").read_bytes() == make(tmp_path / "other/a.h5").read_bytes()
    assert make(tmp_path / "a.h5").read_bytes() != make(tmp_path / "b.h5", value=1).read_bytes()


def test_artifact_holds_no_time_of_writing(tmp_path: Path) -> None:
    begin = int(time.time())
    content = make(tmp_path / "a.h5").read_bytes()
    moments = range(begin - 1, int(time.time()) + 2)
    assert not [moment for moment in moments if struct.pack("<I", moment) in content]


def test_artifact_carries_its_schema_settings_inputs_and_code(tmp_path: Path) -> None:
    with h5py.File(make(tmp_path / "a.h5")) as file:
        attributes = dict(file.attrs)
    assert attributes["schema"] == "puma.scores"
    assert attributes["schema_version"] == SCHEMA_VERSIONS["scores"]
    assert attributes["settings"] == '{"a": [1, 2], "b": 1}'
    assert attributes["inputs"] == (
        '{"model": {"fingerprint": "g"}, "pool": {"fingerprint": "f", "part": "train", "path": "pool.h5"}}'
    )
    assert attributes["code"] == '{"m": "c"}'
    assert attributes["place"] == "a.h5"
    assert set(attributes) == {"schema", "schema_version", "settings", "inputs", "code", "place", "library_versions"}


@pytest.mark.parametrize("share", [0, 0.01, 0.1, 0.5, 0.9, 0.999])
def test_truncated_artifact_is_refused(tmp_path: Path, share: float) -> None:
    content = make(tmp_path / "a.h5").read_bytes()
    (tmp_path / "a.h5").write_bytes(content[: int(share * len(content))])
    message = r"expected a scores file, got a truncated or damaged HDF5 file at .*a\.h5 .*; delete it and run again"
    with pytest.raises(ArtifactError, match=message), open_artifact(tmp_path / "a.h5", "scores"):
        pass


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_damaged_artifact_is_refused_or_read_but_never_crashes(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = make(tmp_path_factory.getbasetemp() / "damaged.h5")
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        with open_artifact(path, "scores") as file:
            read_array(file, "score", np.int64)
    except ArtifactError:
        pass


@pytest.mark.parametrize("text", ["", "no HDF5 at all"])
def test_file_that_is_no_hdf5_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.h5").write_text(text, encoding="utf-8")
    with pytest.raises(ArtifactError, match="truncated or damaged"), open_artifact(tmp_path / "a.h5", "scores"):
        pass


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.h5", tmp_path):
        with (
            pytest.raises(ArtifactError, match=f"expected a pool file, found nothing at {path}"),
            open_artifact(path, "pool"),
        ):
            pass


def set_attribute(path: Path, name: str, value: Any) -> None:
    with h5py.File(path, "r+") as file:
        if value is None:
            del file.attrs[name]
        else:
            file.attrs[name] = value
    seal(path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("schema", "puma.pool", r"expected schema puma\.scores, got puma\.pool at .*; give the scores file"),
        ("schema", None, r"expected schema puma\.scores, got none"),
        ("schema_version", 3, r"expected version 1 or 2 of puma\.scores, got 3 at .*make it again"),
        ("schema_version", "one", r"expected version 1 or 2 of puma\.scores, got one"),
        ("schema_version", None, r"expected version 1 or 2 of puma\.scores, got none"),
    ],
)
def test_artifact_of_another_kind_or_version_is_refused(tmp_path: Path, name: str, value: Any, message: str) -> None:
    path = make(tmp_path / "a.h5")
    set_attribute(path, name, value)
    with pytest.raises(ArtifactError, match=message), open_artifact(path, "scores"):
        pass


def test_unknown_kind_cannot_be_created(tmp_path: Path) -> None:
    with pytest.raises(KeyError), create_artifact(tmp_path / "a.h5", "skores"):
        pass
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "dtype", "ndim", "message"),
    [
        ("skore", np.int64, 1, r"expected dataset 'skore', not in .*a\.h5/"),
        ("score", np.float32, 1, r"expected 'score' as float32 with 1 dimensions, got int64 \(300,\) in .*a\.h5"),
        ("score", np.int64, 2, "expected 'score' as int64 with 2 dimensions"),
    ],
)
def test_array_of_another_name_dtype_or_shape_is_refused(
    tmp_path: Path, name: str, dtype: Any, ndim: int, message: str
) -> None:
    with open_artifact(make(tmp_path / "a.h5"), "scores") as file:
        assert read_array(file, "score", np.int64).tolist() == list(range(300))
        with pytest.raises(ArtifactError, match=message):
            read_array(file, name, dtype, ndim)


def test_missing_attribute_is_a_refusal_not_a_key_error(tmp_path: Path) -> None:
    message = "expected a readable scores file, reading .* failed"
    with pytest.raises(ArtifactError, match=message), open_artifact(make(tmp_path / "a.h5"), "scores") as file:
        file.attrs["unit"]


def test_fingerprint_of_another_pool_is_refused() -> None:
    expect_fingerprint("a" * 64, "a" * 64, "pool", "x.h5")
    with pytest.raises(ArtifactError, match=r"expected the pool with fingerprint a{12}, got b{12} at x\.h5"):
        expect_fingerprint("b" * 64, "a" * 64, "pool", "x.h5")


ARRAYS = npst.arrays(
    st.sampled_from([np.uint8, np.int64, np.float32]), npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
)


@settings(deadline=None, max_examples=200)
@given(first=ARRAYS, second=ARRAYS)
def test_fingerprints_agree_exactly_when_dtype_shape_and_bytes_do(first: np.ndarray, second: np.ndarray) -> None:
    is_same = (first.dtype, first.shape, first.tobytes()) == (second.dtype, second.shape, second.tobytes())
    assert (content_fingerprint(first) == content_fingerprint(second)) is is_same


def test_fingerprint_sees_dtype_shape_content_and_order() -> None:
    zeros = np.zeros(8, np.uint8)
    variants = [
        (zeros,),
        (zeros.reshape(2, 4),),
        (zeros.reshape(4, 2),),
        (zeros.view(np.int64),),
        (zeros.view(">i8"),),
        (zeros[:4], zeros[4:]),
        (zeros + 1,),
        ("", zeros),
        (zeros, ""),
        ("ab", "c"),
        ("a", "bc"),
        (),
    ]
    assert len({content_fingerprint(*parts) for parts in variants}) == len(variants)


def test_fingerprint_does_not_see_memory_layout_or_blocks() -> None:
    array = np.arange(20_000 * 3, dtype=np.uint16).reshape(20_000, 3)
    prints = {content_fingerprint(a) for a in (array, np.asfortranarray(array), np.repeat(array, 2, axis=0)[::2])}
    assert len(prints) == 1
    changed = array.copy()
    changed[-1, -1] += 1
    assert content_fingerprint(changed) not in prints


def test_file_fingerprint_is_sha256_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert file_fingerprint(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
