"""What it costs to tell the content of a folder: at first, with nothing changed, and with one file changed.

    OMP_NUM_THREADS=1 python benchmarks/watched.py --files 500000 --folders 1000

Files are made in a temporary folder, which is removed at the end. Made just now, they are in the page cache; `--cold`
has the system drop their content, not what `stat` says, before the first reading. Memory is the peak so far, less what
the process held before the first reading.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

from rounds import print_conditions, print_table

from pumalib.files import reading, watched


def make_files(folder: Path, num_files: int, num_folders: int, size: int) -> None:
    """Write files of different content, and give them an age at which their times are trusted."""
    for number in range(num_files):
        parent = folder / f"class-{number % num_folders:05d}"
        if number < num_folders:
            parent.mkdir()
        descriptor = os.open(f"{parent}/image-{number:07d}.png", os.O_CREAT | os.O_WRONLY)
        os.write(descriptor, str(number).encode().ljust(size, b"x"))
        os.close(descriptor)
    time.sleep(reading.RACY_NS / 1e9 + 0.1)


def drop_content(folder: Path) -> None:
    """Drop the files' pages from memory, so that the next reading is one of the disk."""
    os.sync()
    for parent, _, names in os.walk(folder):
        for name in names:
            descriptor = os.open(f"{parent}/{name}", os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def timed(title: str, folder: Path, memory: Path, before: float) -> list[str]:
    wall, process = time.perf_counter(), time.process_time()
    watched.content_digest(folder, memory)
    wall, process = time.perf_counter() - wall, time.process_time() - process
    return [title, f"{wall:.2f}", f"{process:.2f}", f"{peak_mib() - before:,.0f}"]


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--files", type=int, default=500_000)
    parser.add_argument("--folders", type=int, default=1000)
    parser.add_argument("--size", type=int, default=20, help="bytes of a file")
    parser.add_argument("--threads", type=int, default=watched.READING_THREADS, help="that read")
    parser.add_argument("--cold", action="store_true", help="drop the files' content from memory before")
    options = parser.parse_args()
    watched.READING_THREADS = options.threads
    print_conditions()
    with tempfile.TemporaryDirectory() as name:
        folder, memory = Path(name) / "images", Path(name) / "memory"
        folder.mkdir()
        make_files(folder, options.files, options.folders, options.size)
        if options.cold:
            drop_content(folder)
        before = peak_mib()
        rows = [timed("first", folder, memory, before), timed("nothing changed", folder, memory, before)]
        (folder / "class-00000/image-0000000.png").write_bytes(b"other")
        rows.append(timed("one file changed", folder, memory, before))
        held = sum(path.stat().st_size for path in memory.iterdir()) / 2**20
        print(
            f"{options.files:,} files of {options.size:,} bytes in {options.folders:,} folders, "
            f"{options.threads} threads; {held:,.0f} MiB remembered\n"
        )
        print_table(["", "wall s", "process s", "MiB more at the peak"], rows)


if __name__ == "__main__":
    main()
