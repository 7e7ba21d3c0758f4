"""The errors a user can cause, each carrying one clear message and no need for a traceback."""

import re


class PumaError(Exception):
    """Base of every error that is the input's fault, not the program's; its message is one line."""

    def __str__(self) -> str:
        """Return the message; what it quotes of a library's error may have had several lines."""
        return re.sub(r"\s*\n\s*", " ", super().__str__())


class ConfigError(PumaError):
    """A study that cannot be run as written: unknown key, impossible value, missing file."""


class ArtifactError(PumaError):
    """A file that is missing, damaged, of another kind, or of another pool."""


class ResourceError(PumaError):
    """Memory, room on a disk, permission or a lock that a job needs and does not get."""


class DataError(PumaError):
    """Images, labels, scores or model outputs that break what a stage needs."""
