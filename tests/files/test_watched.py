"""The digest of what a user owns: changes with the content and with nothing else, and costs no second reading."""

import hashlib
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumalib.errors import ConfigError, DataError, ResourceError
from pumalib.files import reading, watched
from pumalib.files.artifacts import file_fingerprint
from pumalib.files.watched import content_digest

NOBODY = 65534
_opened: list[str] = []
_noting = threading.Event()


def _note_opened_file(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _noting.is_set() and isinstance(arguments[0], str | bytes):
        _opened.append(os.path.basename(os.fsdecode(arguments[0])))


sys.addaudithook(_note_opened_file)


@pytest.fixture(autouse=True)
def _trust_young_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remember files from 20 ms on, which is more than a tick of the clock here: tests do not wait for seconds."""
    monkeypatch.setattr(reading, "RACY_NS", 20_000_000)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Return a folder of three images in two classes, whose times are trusted."""
    folder = tmp_path / "images"
    write_tree(folder, {"cat/1.png": b"one", "cat/2.png": b"two", "dog/1.png": b"three", ".hidden": b"four"})
    grow_old(folder)
    return folder


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return tmp_path / "work/watched"


def write_tree(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def grow_old(folder: Path) -> None:
    """Let the clock of the disk pass the age from which times are trusted."""
    newest = max(path.stat().st_ctime_ns for path in [folder, *folder.rglob("*")])
    clock = folder.parent / "clock"
    clock.touch()
    while clock.stat().st_ctime_ns <= newest + reading.RACY_NS + 10_000_000:
        os.utime(clock)
    clock.unlink()


def names_opened(action: Callable[[], object]) -> list[str]:
    """Return the names of images that an action opened."""
    _opened.clear()
    _noting.set()
    action()
    _noting.clear()
    return sorted(name for name in _opened if name.endswith((".png", ".npz", ".hidden")))


def replace_and_backdate(path: Path, content: bytes) -> None:
    """Replace a file as `rsync -a` does: by another one of the same size, with an older mtime."""
    status = path.stat()
    new = path.with_name("new")
    new.write_bytes(content)
    assert len(content) == status.st_size
    os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns - 10**12))
    os.replace(new, path)


def overwrite_and_restore_time(path: Path, content: bytes) -> None:
    """Write other bytes into the same file, and give it back its mtime."""
    status = path.stat()
    assert len(content) == status.st_size
    with open(path, "r+b") as file:
        file.write(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


CHANGES: dict[str, Callable[[Path], object]] = {
    "replaced by an older one": lambda images: replace_and_backdate(images / "cat/1.png", b"eno"),
    "overwritten, same times": lambda images: overwrite_and_restore_time(images / "cat/1.png", b"eno"),
    "renamed": lambda images: (images / "cat/1.png").rename(images / "cat/3.png"),
    "moved to another class": lambda images: (images / "cat/2.png").rename(images / "dog/2.png"),
    "added": lambda images: (images / "cat/3.png").write_bytes(b"one"),
    "hidden one added": lambda images: (images / "cat/.3.png").write_bytes(b"one"),
    "empty one added": lambda images: (images / "cat/3.png").touch(),
    "removed": lambda images: (images / "cat/1.png").unlink(),
    "folder added": lambda images: (images / "cow").mkdir(),
    "folder renamed": lambda images: (images / "cat").rename(images / "cow"),
    "classes swapped": lambda images: swap(images / "cat", images / "dog"),
    "contents swapped": lambda images: swap(images / "cat/1.png", images / "cat/2.png"),
}


def swap(first: Path, second: Path) -> None:
    aside = first.with_name("aside")
    first.rename(aside)
    second.rename(first)
    aside.rename(second)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changed_content_changes_the_digest(images: Path, memory: Path, change: Callable[[Path], object]) -> None:
    before = content_digest(images, memory)
    change(images)
    after = content_digest(images, memory)
    assert after != before
    assert after == content_digest(images, memory.with_name("another"))


def test_touch_changes_nothing(images: Path, memory: Path) -> None:
    before = content_digest(images, memory)
    for path in [images, *images.rglob("*")]:
        path.touch()
        path.chmod(0o755)
    assert content_digest(images, memory) == before


def test_copy_elsewhere_has_the_same_digest(images: Path, memory: Path, tmp_path: Path) -> None:
    copy = tmp_path / "other/place"
    for name in sorted((str(path.relative_to(images)) for path in images.rglob("*") if path.is_file()), reverse=True):
        write_tree(copy, {name: (images / name).read_bytes()})
    assert content_digest(copy, memory) == content_digest(images, memory)


def test_second_call_reads_no_file(images: Path, memory: Path) -> None:
    names = [".hidden", "1.png", "1.png", "2.png"]
    assert names_opened(lambda: content_digest(images, memory)) == names
    assert names_opened(lambda: content_digest(images, memory)) == []


def test_only_changed_files_are_read_again(images: Path, memory: Path) -> None:
    content_digest(images, memory)
    replace_and_backdate(images / "cat/2.png", b"owt")
    (images / "cat/0.png").touch()
    assert names_opened(lambda: content_digest(images, memory)) == ["0.png", "2.png"]


def test_file_has_the_digest_of_its_bytes_and_is_read_once(tmp_path: Path, memory: Path) -> None:
    path = tmp_path / "data/images.npz"
    write_tree(tmp_path / "data", {"images.npz": b"x" * 3_000_000})
    grow_old(path.parent)
    assert content_digest(path, memory) == file_fingerprint(path)
    assert names_opened(lambda: content_digest(path, memory)) == []
    replace_and_backdate(path, b"y" * 3_000_000)
    assert content_digest(path, memory) == file_fingerprint(path)


@pytest.mark.parametrize("seconds", [-1, 10**10])
def test_time_that_is_far_away_is_remembered(images: Path, memory: Path, seconds: int) -> None:
    os.utime(images / "cat/1.png", (seconds, seconds))
    grow_old(images)
    content_digest(images, memory)
    (images / "cat/2.png").touch()
    assert names_opened(lambda: content_digest(images, memory)) == ["2.png"]


@pytest.mark.parametrize("name", [".", "cat/1.png"])
def test_young_files_are_read_again(images: Path, memory: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that changed a moment ago may change again within the same tick of the clock."""
    content_digest(images / name, memory)
    monkeypatch.setattr(reading, "RACY_NS", 10**13)
    (images / "cat/1.png").write_bytes(b"new")
    for _ in range(2):
        assert "1.png" in names_opened(lambda: content_digest(images / name, memory))


def test_file_that_grows_while_it_is_read_is_read_again(tmp_path: Path, memory: Path) -> None:
    """A hook writes on to the file as it is opened: what is then read does not belong to the status before."""
    folder = tmp_path / "data"
    write_tree(folder, {"grows.bin": b"x"})
    grow_old(folder)
    growing = threading.Event()
    growing.set()

    def grow(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and arguments[0] == b"grows.bin" and growing.is_set():
            growing.clear()
            with open(folder / "grows.bin", "ab") as file:
                file.write(b"y")

    sys.addaudithook(grow)
    content_digest(folder, memory)
    assert not growing.is_set()
    assert content_digest(folder, memory) == content_digest(folder, memory.with_name("another"))


def test_folder_of_many_blocks_is_remembered(tmp_path: Path, memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched, "BLOCK_RECORDS", 7)
    monkeypatch.setattr(watched, "_NAMES_A_RUN", 5)
    monkeypatch.setattr(watched, "_ENTRIES_AT_ONCE", 3)
    folder = tmp_path / "images"
    write_tree(folder, {f"{number * 37 % 101}.png": str(number).encode() for number in range(101)})
    grow_old(folder)
    expected = content_digest(folder, memory)
    (folder / "50.png").touch()
    assert names_opened(lambda: content_digest(folder, memory)) == ["50.png"]
    monkeypatch.undo()
    assert content_digest(folder, memory.with_name("another")) == expected


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "emptied": lambda content: b"",
    "head cut": lambda content: content[:60],
    "cut": lambda content: content[:-5],
    "block head cut": lambda content: content[:120],
    "foreign": lambda content: b"PK\x03\x04" + bytes(500),
    "first bit": lambda content: bytes([content[0] ^ 1]) + content[1:],
    "state": lambda content: content[:30] + bytes([content[30] ^ 1]) + content[31:],
    "digest": lambda content: content[:60] + bytes([content[60] ^ 1]) + content[61:],
    "block sizes": lambda content: content[:112] + b"\xff" * 8 + content[120:],
    "last bit": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "appended": lambda content: content + b"more",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_memory_gives_no_other_digest(images: Path, memory: Path, damage: Callable[[bytes], bytes]) -> None:
    content_digest(images, memory)
    for path in memory.iterdir():
        path.write_bytes(damage(path.read_bytes()))
    replace_and_backdate(images / "cat/2.png", b"owt")
    assert content_digest(images, memory) == content_digest(images, memory.with_name("another"))


def test_damaged_digests_are_not_believed(images: Path, memory: Path) -> None:
    expected = content_digest(images, memory)
    for path in memory.iterdir():
        content = bytearray(path.read_bytes())
        for place in range(len(content)):
            content[place] ^= 255
            path.write_bytes(content)
            assert content_digest(images, memory) == expected
            content[place] ^= 255
        path.write_bytes(content)


def test_exchanged_memory_files_give_no_other_digest(images: Path, memory: Path) -> None:
    expected = content_digest(images, memory)
    paths = sorted(memory.iterdir())
    swap(paths[0], paths[1])
    assert content_digest(images, memory) == expected


@pytest.mark.parametrize("plant", [os.mkfifo, os.mkdir])
def test_something_else_in_the_place_of_memory_is_left_alone(
    images: Path, memory: Path, plant: Callable[[Path], None]
) -> None:
    expected = content_digest(images, memory)
    for path in list(memory.iterdir()):
        path.unlink()
        plant(path)
    assert content_digest(images, memory) == expected
    assert content_digest(images, memory) == expected


def test_memory_that_cannot_be_written_is_told_once(
    images: Path, memory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    memory.parent.mkdir()
    memory.write_text("a file")
    with caplog.at_level(logging.WARNING):
        digest = content_digest(images, memory)
    assert digest == content_digest(images, memory.with_name("another"))
    assert len(caplog.records) == 1
    assert f"expected to write {memory}, got: " in caplog.text


def test_processes_share_one_memory(images: Path, memory: Path) -> None:
    expected = content_digest(images, memory.with_name("another"))
    code = (
        "import sys; from pathlib import Path; from pumalib.files.watched import content_digest\n"
        "print({content_digest(sys.argv[1], Path(sys.argv[2])) for _ in range(50)})"
    )
    command = [sys.executable, "-c", code, str(images), str(memory)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in processes:
        assert process.communicate()[0] == f"{ {expected} }\n"
    assert [path for path in memory.iterdir() if path.name.endswith(".part")] == []


def test_forgotten_parts_are_removed(images: Path, memory: Path) -> None:
    write_tree(memory, {".old.part": b"", ".new.part": b""})
    os.utime(memory / ".old.part", (0, 0))
    content_digest(images, memory)
    assert [path.name for path in memory.glob(".*")] == [".new.part"]


def test_links_count_as_what_they_lead_to(images: Path, memory: Path, tmp_path: Path) -> None:
    expected = content_digest(images, memory)
    (images / "cat").rename(tmp_path / "elsewhere")
    (images / "cat").symlink_to(tmp_path / "elsewhere")
    (images / "dog/1.png").rename(tmp_path / "1.png")
    (images / "dog/1.png").symlink_to(tmp_path / "1.png")
    (tmp_path / "link").symlink_to(images)
    assert content_digest(tmp_path / "link", memory) == expected
    (tmp_path / "1.png").write_bytes(b"eerht")
    assert content_digest(images, memory) != expected


def test_tree_may_be_deeper_than_the_stack(tmp_path: Path, memory: Path) -> None:
    deep = tmp_path.joinpath("deep", *["d"] * 1100)
    subprocess.run(["mkdir", "-p", str(deep)], check=True)
    before = content_digest(tmp_path / "deep", memory)
    subprocess.run(["rmdir", str(deep)], check=True)
    assert content_digest(tmp_path / "deep", memory) != before
    subprocess.run(["rm", "-r", str(tmp_path / "deep")], check=True)  # which is too deep for pytest to remove


def test_name_that_is_not_utf8_counts_too(images: Path, memory: Path) -> None:
    before = content_digest(images, memory)
    Path(os.fsdecode(os.fsencode(images) + b"/\xff.png")).write_bytes(b"x")
    grow_old(images)
    assert content_digest(images, memory) != before
    assert names_opened(lambda: content_digest(images, memory)) == []


def _plant_socket(path: Path) -> None:
    """Bind by a short name: that of a socket may have 107 bytes."""
    with tempfile.TemporaryDirectory() as name, socket.socket(socket.AF_UNIX) as planted:
        planted.bind(f"{name}/s")
        os.link(f"{name}/s", path)


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "FIFO": (os.mkfifo, r"^expected files and folders, got a FIFO at .*/cat/odd; remove it"),
    "socket": (_plant_socket, r"^expected files and folders, got a socket at .*/cat/odd; remove it"),
    "device": (lambda path: path.symlink_to("/dev/zero"), r"got a device at .*/cat/odd; remove it"),
    "dead link": (lambda path: path.symlink_to("nowhere"), r"cat/odd, got a link to nothing; mend or remove the link$"),
    "link to itself": (lambda path: path.symlink_to("odd"), r"^expected to read .*/cat/odd, got: Too many levels"),
    "circle": (
        lambda path: path.symlink_to(".."),
        r"^expected folders that end, got a link at .*/cat/odd back to .*/images; remove the link$",
    ),
}


@pytest.mark.parametrize(("plant", "message"), REFUSED.values(), ids=REFUSED)
def test_what_has_no_content_is_refused(
    images: Path, memory: Path, plant: Callable[[Path], object], message: str
) -> None:
    plant(images / "cat/odd")
    with pytest.raises(DataError, match=message):
        content_digest(images, memory)


@pytest.mark.parametrize("name", ["odd", "images/cat/odd"])
def test_place_that_is_refused(images: Path, memory: Path, name: str) -> None:
    place = images.parent / name
    with pytest.raises(DataError, match=r"^expected a file or folder at .*/odd, found nothing there; put it there"):
        content_digest(place, memory)
    os.mkfifo(place)
    with pytest.raises(DataError, match="got a FIFO at"):
        content_digest(place, memory)


def test_memory_inside_of_what_is_watched_is_refused(images: Path) -> None:
    with pytest.raises(ConfigError, match=r"^expected a folder outside of .*/images to remember .* inside; watch"):
        content_digest(images, images / "results/watched")


@pytest.fixture
def as_nobody(images: Path) -> Iterator[None]:
    """Be another user, who may look into the tests' folders."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to be another user for a while")
    above = [images.parent, *images.parent.parents]
    modes = {path: path.stat().st_mode for path in above if path.stat().st_mode & 0o5 != 0o5}
    for path in modes:
        path.chmod(0o755)
    images.parent.chmod(0o777)
    yield
    os.seteuid(0)
    for path, mode in modes.items():
        path.chmod(mode)


@pytest.mark.parametrize("name", ["cat/1.png", "cat", "."])
@pytest.mark.usefixtures("as_nobody")
def test_what_may_not_be_read_is_told(images: Path, memory: Path, name: str) -> None:
    (images / name).chmod(0)
    place = (images / name).resolve()
    os.seteuid(NOBODY)
    with pytest.raises(ResourceError) as caught:
        content_digest(images, memory)
    os.seteuid(0)
    assert str(caught.value) == (f"expected to read {place}, got: Permission denied; change its owner or permissions")


@pytest.mark.usefixtures("as_nobody")
def test_reading_goes_on_after_an_error(images: Path, memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched, "BLOCK_RECORDS", 1)
    (images / "cat/2.png").chmod(0)
    grow_old(images)
    os.seteuid(NOBODY)
    with pytest.raises(ResourceError):
        content_digest(images, memory)
    os.seteuid(0)
    assert names_opened(lambda: content_digest(images, memory)) == ["1.png", "2.png"]


_names = st.sampled_from(["a", "b", "ab", "a.b", "é", ".a"])
_trees = st.recursive(
    st.binary(max_size=2), lambda inner: st.dictionaries(_names, inner, max_size=3), max_leaves=6
).filter(lambda tree: isinstance(tree, dict))


def _plant(folder: Path, tree: dict[str, object]) -> None:
    folder.mkdir()
    for name, content in tree.items():
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            _plant(folder / name, content)


@given(_trees, _trees)
def test_digests_are_equal_where_trees_are(first: dict[str, object], second: dict[str, object]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, memory = Path(name) / "tree", Path(name) / "memory"
        digests = []
        for tree in (first, second, first):
            _plant(folder, tree)
            digests.append(content_digest(folder, memory))
            shutil.rmtree(folder)
    assert digests[0] == digests[2]
    assert (digests[0] == digests[1]) == (first == second)


def test_form_of_the_digest_is_this_one(tmp_path: Path, memory: Path) -> None:
    """A changed form needs another number in `FORM`, and reruns the studies of all users."""
    write_tree(tmp_path / "tree", {"b.png": b"one", "a.png": b"two", "folder/c.png": b"three"})

    def sha(content: bytes) -> bytes:
        return hashlib.sha256(content).digest()

    inner = sha(b"puma.watched.1\n" + sha(b"c.png\0" + sha(b"three")))
    own = sha(b"a.png\0" + sha(b"two") + b"b.png\0" + sha(b"one"))
    expected = sha(b"puma.watched.1\n" + own + b"folder\0" + inner)
    assert content_digest(tmp_path / "tree", memory) == expected.hex()
