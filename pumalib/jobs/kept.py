"""Results that a job need not work for again: kept beside its state, under everything that their numbers depend on.

Snakemake plans a whole run before its first job, and removes the outputs of a job before it runs again. So a job whose
inputs were made anew and came out the same would do all its work for files that were there before. Instead it takes
back what it kept: hard links to its outputs, which need no room of their own while these exist. They carry the key that
states carry, and the digest of each file; what does not agree is removed, and the work is done.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from pumalib.errors import ResourceError
from pumalib.files.artifacts import file_fingerprint, to_json, write_text, writing
from pumalib.files.tables import checksum_path
from pumalib.jobs.kept_record import RECORD, SCHEMA, read_record
from pumalib.jobs.states import StatePlace

log = logging.getLogger(__name__)


class KeptResult:
    """What a job made when it last did its work.

    Args:
        place: of the job's state, beside which the result is kept; None: nothing is kept.
        key: fingerprint of everything the numbers depend on, see `states.state_key`.
        outputs: files that the job makes; checksums of tables among them are kept too.
    """

    def __init__(self, place: StatePlace | None, key: str, outputs: Sequence[Path]) -> None:
        self._folder = None if place is None else place.path.with_suffix(".kept")
        self._key, self._outputs = key, outputs

    def take_back(self) -> bool:
        """Put the outputs back if they were made from the same; return whether they were."""
        if self._folder is None or not self._folder.is_dir():
            return False
        record = read_record(self._folder)
        if record.get("key") != self._key or not self._is_whole(record):
            shutil.rmtree(self._folder, ignore_errors=True)
            return False
        for output in self._files():
            with writing(output) as temporary:
                os.link(self._folder / output.name, temporary)
        self._write({**record, "was_taken_back": True})
        log.info("settings, inputs and code are as they were: took back the result kept in %s", self._folder)
        return True

    def keep(self) -> None:
        """Keep the outputs, once all are in place; on a disk without hard links, or without room, nothing is kept."""
        if self._folder is None:
            return
        shutil.rmtree(self._folder, ignore_errors=True)
        try:
            self._folder.mkdir(parents=True)
            for output in self._files():
                os.link(output, self._folder / output.name)
        except OSError as error:
            self._give_up(f"no hard links: {error.strerror}")
            return
        self._write(
            {
                "schema": SCHEMA,
                "key": self._key,
                "files": {output.name: file_fingerprint(output) for output in self._files()},
                "seconds": time.time() - psutil.Process().create_time(),
                "was_taken_back": False,
            }
        )

    def _write(self, record: dict[str, Any]) -> None:
        """Write the record; the outputs are in place, so that it is no reason to fail."""
        assert self._folder is not None
        try:
            write_text(self._folder / RECORD, to_json(record))
        except (OSError, ResourceError) as error:
            self._give_up(str(error))

    def _give_up(self, reason: str) -> None:
        assert self._folder is not None
        log.info("the result is not kept for another run in %s: %s", self._folder, reason)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _files(self) -> list[Path]:
        """Return the outputs, and the checksums of those that are tables."""
        return [
            path
            for output in self._outputs
            for path in (output, *([checksum_path(output)] if output.suffix == ".csv" else []))
        ]

    def _is_whole(self, record: dict[str, Any]) -> bool:
        assert self._folder is not None
        files = record.get("files")
        if not isinstance(files, dict) or set(files) != {output.name for output in self._files()}:
            return False
        try:
            return all(file_fingerprint(self._folder / name) == digest for name, digest in files.items())
        except OSError:
            return False
