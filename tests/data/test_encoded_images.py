"""Datasets that keep the bytes of their files give the same images as those that keep pixels, and one can open them."""

import io
import json
import logging
import shutil
import struct
import tarfile
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image, ImageOps

from pumalib.data import images as images_module
from pumalib.data.datasets import prepare_dataset, read_image_shape, read_split
from pumalib.data.decoding import View, decode
from pumalib.data.encoded_images import EncodedImages
from pumalib.data.pool import build_pool, open_pool
from pumalib.data.settings import FolderSettings, HeldOutSyntheticSettings
from pumalib.data.sources.folder import load, look
from pumalib.errors import ArtifactError, ConfigError, DataError, ResourceError
from pumalib.synthesis.synthetic import SyntheticInputs, make_synthetic
from tests.photographs import jpeg, photograph, put

SIZE = 16


def settings_of(root: Path, **changes: Any) -> FolderSettings:
    values = {"path": str(root), "image_size": SIZE, "split": "seeded", "test_fraction": 0.25, **changes}
    return FolderSettings.model_validate(values)


def bytes_of(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of JPEG, PNG and WebP files of several sizes, grey, turned and with a palette among them."""
    folder = tmp_path / "photographs"
    for number in range(10):
        put(folder, f"a/{number}.jpg", jpeg(number, 20 + number, 18))
    turned = Image.Exif()
    turned[0x0112] = 6
    put(folder, "b/0.jpg", jpeg(20, exif=turned))
    put(folder, "b/1.JPEG", bytes_of(photograph(21, 17, 17).convert("L"), "JPEG"))
    put(folder, "b/2.png", bytes_of(photograph(22, 16, 16), "PNG"))
    put(folder, "b/3.png", bytes_of(photograph(23, 30, 16).convert("P"), "PNG"))
    put(folder, "b/4.webp", bytes_of(photograph(24, 19, 40), "WEBP"))
    put(folder, "b/5.jpg", bytes_of(photograph(25, 19, 40).convert("CMYK"), "JPEG"))
    put(folder, "b/6.jpg", jpeg(26, progressive=True))
    put(folder, "b/7.jpg", jpeg(27, subsampling=0))
    return folder


def pixels_by_file(path: Path) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for name in ("train", "test"):
        split = read_split(path, name)
        assert split.files is not None
        found |= dict(zip(split.files, split.images[:], strict=True))
    return found


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_both_kinds_of_storage_give_the_pixels_that_pillow_gives(
    root: Path, tmp_path: Path, fit: str, channels: int
) -> None:
    for storage in ("encoded", "decoded"):
        settings = settings_of(root, storage=storage, fit=fit, channels=channels, enlarge=True)
        prepare_dataset(settings, 0, tmp_path, tmp_path / f"{storage}.h5")
    encoded, decoded = (pixels_by_file(tmp_path / f"{storage}.h5") for storage in ("encoded", "decoded"))
    assert len(encoded) == 18
    for name, image in encoded.items():
        np.testing.assert_array_equal(image, decoded[name], name)
        with Image.open(root / name) as opened:
            plain = ImageOps.exif_transpose(opened).convert("L" if channels == 1 else "RGB")
        if fit == "stretch":
            expected = plain.resize((SIZE, SIZE))
        else:
            expected = (ImageOps.fit if fit == "crop" else ImageOps.pad)(plain, (SIZE, SIZE))
        np.testing.assert_array_equal(image, np.asarray(expected).reshape(image.shape), name)


def test_one_who_opens_the_file_finds_the_files_their_names_places_and_sizes(root: Path, tmp_path: Path) -> None:
    prepare_dataset(settings_of(root, storage="encoded"), 0, tmp_path, tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as file:
        train = file["train"]
        offsets, content = train["offsets"][...], train["encoded"][...]
        for row, name in enumerate(train["files"].asstr()[...]):
            assert content[offsets[row] : offsets[row + 1]].tobytes() == (root / name).read_bytes()
            with Image.open(root / name) as opened:
                assert tuple(train["sizes"][row]) == ImageOps.exif_transpose(opened).size[::-1]
        assert train["encoded"].chunks is None
        assert train["encoded"].id.get_offset() is not None
    assert read_image_shape(tmp_path / "out.h5") == (SIZE, SIZE, 3)


def test_a_pool_of_encoded_real_and_decoded_synthetic_rows_is_one(root: Path, tmp_path: Path) -> None:
    settings = settings_of(root, storage="encoded", held_out_fraction=0.25)
    prepare_dataset(settings, 0, tmp_path, tmp_path / "d.h5")
    inputs = SyntheticInputs(tmp_path / "d.h5", None, None, 0, "cpu")
    make_synthetic(HeldOutSyntheticSettings(), inputs, tmp_path / "s.h5")
    build_pool(tmp_path / "d.h5", tmp_path / "s.h5", tmp_path / "p.h5", {})
    pool, train = open_pool(tmp_path / "p.h5"), read_split(tmp_path / "d.h5", "train")
    held_out = read_split(tmp_path / "d.h5", "held_out")
    assert isinstance(train.images, EncodedImages)
    rows = np.array([len(train), 1, len(train) + 1, 0, 1])
    real, other = train.images[:], held_out.images[:]
    expected = [other[0], real[1], other[1], real[0], real[1]]
    np.testing.assert_array_equal(pool.images[rows], expected)
    np.testing.assert_array_equal(np.asarray(train.images), real)


def test_the_number_of_threads_changes_no_pixel(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for threads in (1, 5):
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
        path = tmp_path / str(threads) / "out.h5"
        prepare_dataset(settings_of(root, storage="encoded"), 0, tmp_path, path)
        found.append((read_split(path, "train").images[:], path.read_bytes()))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


@pytest.mark.parametrize("inside", ["", "photographs"])
def test_a_tar_file_of_class_folders_is_read_as_the_folder_is(root: Path, tmp_path: Path, inside: str) -> None:
    with tarfile.open(tmp_path / "all.tar", "w") as tar:
        tar.add(root, inside or ".")
    for name, path in (("folder", root), ("tar", tmp_path / "all.tar")):
        prepare_dataset(settings_of(path, storage="encoded"), 0, tmp_path, tmp_path / f"{name}.h5")
    assert look(settings_of(tmp_path / "all.tar"), "here") == look(settings_of(root), "here")
    folder, packed = (pixels_by_file(tmp_path / f"{name}.h5") for name in ("folder", "tar"))
    assert list(folder) == list(packed)
    assert all((folder[name] == packed[name]).all() for name in folder)


def test_a_compressed_or_damaged_tar_file_is_refused_before_any_job(root: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "all.tar.gz", "w:gz") as tar:
        tar.add(root, ".")
    (tmp_path / "no.tar").write_bytes(b"no tar file" * 100)
    for name in ("all.tar.gz", "no.tar"):
        with pytest.raises(ConfigError, match=rf"expected a whole tar file that is not compressed at .*{name}"):
            look(settings_of(tmp_path / name), "datasets.mine")


def test_storage_is_chosen_by_size_and_told(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert isinstance(load(settings_of(root), tmp_path).train.images, np.ndarray)  # small
    monkeypatch.setattr(images_module, "IN_MEMORY_BYTES", 500)
    monkeypatch.setattr("pumalib.data.sources.image_files.IN_MEMORY_BYTES", 500)
    with caplog.at_level(logging.WARNING):
        large = load(settings_of(root, image_size=64, enlarge=True), tmp_path).train.images
        assert isinstance(large, EncodedImages)
        small = load(settings_of(root, image_size=4), tmp_path).train.images  # files take more room than pixels
        assert not isinstance(small, EncodedImages)
        (root / "a/10.bmp").write_bytes(bytes_of(photograph(9, 20, 20), "BMP"))
        other = load(settings_of(root, image_size=64, enlarge=True), tmp_path).train.images
        assert not isinstance(other, EncodedImages)
    told = [record.getMessage() for record in caplog.records if "stored" in record.getMessage()]
    assert ["encoded" in text for text in told] == [True, False, False]


def test_a_format_that_is_not_kept_is_named(root: Path, tmp_path: Path) -> None:
    put(root, "a/x.jpg", bytes_of(photograph(9, 20, 20), "BMP"))  # whatever its name says
    with pytest.raises(DataError, match=r"expected JPEG, PNG or WebP, .*at .*a/x\.jpg; convert it, or set storage"):
        load(settings_of(root, storage="encoded"), tmp_path)


@pytest.mark.parametrize("storage", ["encoded", "decoded"])
def test_a_truncated_jpeg_is_named_or_left_out_counted_and_listed(
    root: Path, tmp_path: Path, storage: str, caplog: pytest.LogCaptureFixture
) -> None:
    whole = jpeg(3, 200, 200)
    put(root, "a/cut.jpg", whole[: len(whole) // 2])
    put(root, "b/empty.jpg", b"")
    with pytest.raises(DataError, match=r"expected a readable image at .*(cut|empty)\.jpg: .*skip_unreadable: true"):
        load(settings_of(root, storage=storage), tmp_path)
    with caplog.at_level(logging.WARNING):
        prepare_dataset(settings_of(root, storage=storage, skip_unreadable=True), 0, tmp_path, tmp_path / "out.h5")
    assert "2 images of" in caplog.text
    assert set(pixels_by_file(tmp_path / "out.h5")).isdisjoint({"a/cut.jpg", "b/empty.jpg"})
    assert len(pixels_by_file(tmp_path / "out.h5")) == 18
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["skipped"].asstr()[...].tolist() == ["a/cut.jpg", "b/empty.jpg"]


def test_stray_bytes_lack_nothing_but_do_not_hide_that_a_file_is_cut_short() -> None:
    """libjpeg tells its first warning alone, and ImageNet has files with stray bytes."""
    plain = jpeg(4, 60, 60, progressive=True)
    at = plain.index(b"\xff\xda", plain.index(b"\xff\xda") + 2)  # the second scan
    odd = plain[:at] + bytes(64) + plain[at:]
    view = View(60, 3)
    np.testing.assert_array_equal(decode(odd, view, "odd"), decode(plain, view, "plain"))
    for share in (0.9, 0.7, 0.5):
        with pytest.raises(DataError, match="expected a readable image at odd"):
            decode(odd[: int(share * len(odd))], view, "odd")


@pytest.mark.parametrize("channels", [1, 3])
def test_a_turn_that_is_said_late_or_in_xmp_counts_as_well(channels: int) -> None:
    """Pillow reads both; a profile of 150 kB lies before the EXIF."""
    exif = Image.Exif()
    exif[0x0112] = 6
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    xmp += b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
    late = jpeg(1, 40, 24, exif=exif)
    segment = b"\xff\xe2\xff\x00" + b"ICC_PROFILE\0".ljust(0xFF00 - 2, b"\0")
    for content in (late[:2] + 3 * segment + late[2:], jpeg(1, 40, 24, xmp=xmp)):
        view = View(24, channels)  # type: ignore[arg-type]
        with Image.open(io.BytesIO(content)) as opened:
            expected = ImageOps.fit(ImageOps.exif_transpose(opened).convert("L" if channels == 1 else "RGB"), (24, 24))
        np.testing.assert_array_equal(decode(content, view, "turned"), np.asarray(expected).reshape(24, 24, channels))


def test_images_of_16_bits_in_colour_are_refused_too(tmp_path: Path) -> None:
    """Pillow would drop half of their bits without a word; written by hand, as Pillow writes none."""
    rows = b"".join(b"\0" + bytes(6 * 4) for _ in range(4))

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    deep = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    with Image.open(io.BytesIO(deep)) as opened:
        assert opened.mode == "RGB"
    with pytest.raises(DataError, match="expected an image of 8 bits a channel, got mode RGB;16 at deep"):
        decode(deep, View(4, 3), "deep")


@pytest.mark.parametrize("storage", ["encoded", "decoded"])
def test_large_datasets_are_made_without_room_for_them_in_memory(
    root: Path, tmp_path: Path, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pixels of more than a limit are gathered in a file without a name."""
    prepare_dataset(settings_of(root, storage=storage), 0, tmp_path, tmp_path / "small.h5")
    monkeypatch.setattr(images_module, "IN_MEMORY_BYTES", 500)
    prepare_dataset(settings_of(root, storage=storage), 0, tmp_path, tmp_path / "large.h5")
    small, large = (pixels_by_file(tmp_path / f"{name}.h5") for name in ("small", "large"))
    assert list(small) == list(large)
    assert all((small[name] == large[name]).all() for name in small)


def packed(path: Path, root: Path) -> bytes:
    with tarfile.open(path, "w") as tar:
        tar.add(root, ".")
    return path.read_bytes()


def test_a_tar_file_that_is_cut_damaged_or_has_another_behind_it_is_refused(root: Path, tmp_path: Path) -> None:
    """`tarfile` reads what is before that, and says nothing."""
    path = tmp_path / "all.tar"
    whole = packed(path, root)
    with tarfile.open(path) as tar:
        members = tar.getmembers()
    middle = members[len(members) // 2].offset
    damaged = whole[: middle + 100] + b"x" + whole[middle + 101 :]
    for name, content in (
        ("cut", whole[:middle]),
        ("short", whole[: middle + 300]),
        ("damaged", damaged),
        ("two", whole * 2),
    ):
        (tmp_path / f"{name}.tar").write_bytes(content)
        with pytest.raises(DataError, match=rf"expected a whole tar file .*{name}\.tar, got: .*(ends early|damaged)"):
            load(settings_of(tmp_path / f"{name}.tar"), tmp_path)
    assert len(load(settings_of(path), tmp_path).train) == 18


def test_links_in_a_tar_file_are_the_files_that_they_lead_to(root: Path, tmp_path: Path) -> None:
    (root / "a/hard.jpg").hardlink_to(root / "a/0.jpg")
    (root / "b/soft.jpg").symlink_to("../a/1.jpg")
    (root / "b/softer.jpg").symlink_to("soft.jpg")
    packed(tmp_path / "all.tar", root)
    folder, tar = (load(settings_of(path, storage="encoded"), tmp_path).train for path in (root, tmp_path / "all.tar"))
    assert folder.files is not None
    assert tar.files is not None
    assert folder.files.tolist() == tar.files.tolist()
    assert {"a/hard.jpg", "b/soft.jpg", "b/softer.jpg"} <= set(tar.files)
    np.testing.assert_array_equal(folder.images[:], tar.images[:])


def test_another_content_of_the_same_length_is_another_source(root: Path, tmp_path: Path) -> None:
    first, second = (
        bytes_of(Image.new("RGB", (16, 16), colour), "PNG", compress_level=0) for colour in ("red", "blue")
    )
    assert len(first) == len(second)
    found = []
    for content in (first, second):
        put(root, "a/x.png", content)
        prepare_dataset(settings_of(root, storage="encoded"), 0, tmp_path, tmp_path / "out.h5")
        with h5py.File(tmp_path / "out.h5") as file:
            found.append(json.loads(file.attrs["inputs"])["source"]["fingerprint"])
    assert found[0] != found[1]


@pytest.mark.parametrize(("fit", "is_refused"), [("crop", True), ("stretch", True), ("pad", False)])
def test_images_are_not_enlarged_unless_that_is_said(tmp_path: Path, fit: str, is_refused: bool) -> None:
    for name in ("a/x.jpg", "b/x.jpg"):
        put(tmp_path / "in", name, jpeg(1, 24, 12))
    for storage in ("encoded", "decoded"):
        settings = settings_of(tmp_path / "in", fit=fit, storage=storage)
        if is_refused:
            with pytest.raises(DataError, match=r"at least 16 pixels.*, got 24x12 at .*x\.jpg; .*enlarge: true"):
                load(settings, tmp_path)
        else:
            assert load(settings, tmp_path).train.images.shape[1:] == (16, 16, 3)
        assert load(settings.model_copy(update={"enlarge": True}), tmp_path).train.images.shape[1:] == (16, 16, 3)


def test_a_changed_byte_of_a_file_is_noticed(root: Path, tmp_path: Path) -> None:
    prepare_dataset(settings_of(root, storage="encoded"), 0, tmp_path, tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as file:
        place = file["train/encoded"].id.get_offset() + 700
    with open(tmp_path / "out.h5", "r+b") as disk:
        disk.seek(place)
        changed = bytes([disk.read(1)[0] ^ 1])
        disk.seek(place)
        disk.write(changed)
    with pytest.raises(ArtifactError, match=r"expected the images of .* as they were written"):
        read_split(tmp_path / "out.h5", "train")
    with pytest.raises(ArtifactError, match=r"expected the images of .* as they were written"):
        build_pool(tmp_path / "out.h5", None, tmp_path / "p.h5", {})


def test_a_file_that_changes_while_the_dataset_is_made_is_named(root: Path, tmp_path: Path) -> None:
    raw = load(settings_of(root, storage="encoded"), tmp_path)
    put(root, "a/3.jpg", jpeg(99))
    with pytest.raises(DataError, match=r"a/3\.jpg to stay as it was"):
        raw.train.images[:]


def test_too_little_room_is_told_with_the_number_before_anything_is_written(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=1000))
    with pytest.raises(ResourceError, match=r"expected 13\.8 kB of room for the images at .*out\.h5, got 1\.0 kB free"):
        prepare_dataset(settings_of(root), 0, tmp_path, tmp_path / "out.h5")
    assert list(tmp_path.glob("*out.h5*")) == []
    monkeypatch.setattr(images_module, "IN_MEMORY_BYTES", 500)
    with pytest.raises(ResourceError, match=r"kB of room for images in .*, got 1\.0 kB free; .*set TMPDIR"):
        load(settings_of(root, storage="decoded"), tmp_path)
