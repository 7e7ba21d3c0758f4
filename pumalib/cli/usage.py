"""The error of a command line that asks for what a file cannot give."""


class UsageError(Exception):
    """Options that do not go together, or do not fit the file; exit status 2."""
