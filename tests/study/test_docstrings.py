"""Docstrings taken apart."""

import pytest

from pumalib.study.docstrings import Entry, described, parse

TEXT = """Measure a thing.

    Some words
    on it.

    Args:
        images: [N, H, W], such as:
            of two lines.
        low, high: ends.

    Returns:
        The thing,
        measured.

    Raises:
        DataError: none is there.

    Source: A 2020, equation 2; the rest
        is ours.

    Example:
        >>> for _ in range(1):
        ...     print(1)
        1
    """


def test_every_part_of_a_docstring_is_found() -> None:
    text = parse(TEXT)
    assert (text.summary, text.paragraphs) == ("Measure a thing.", ("Some words on it.",))
    assert text.entries("Args") == [Entry("images", "[N, H, W], such as: of two lines."), Entry("low, high", "ends.")]
    assert text.entries("Raises") == [Entry("DataError", "none is there.")]
    assert text.sections["Returns"] == "The thing,\nmeasured."
    assert text.sections["Example"] == ">>> for _ in range(1):\n...     print(1)\n1"
    assert text.entries("Attributes") == []


def test_description_leaves_out_arguments_errors_and_example() -> None:
    assert described(TEXT) == "Measure a thing.\n\nSome words on it.\n\nSource: A 2020, equation 2; the rest is ours."


def test_one_line_is_a_summary() -> None:
    assert described("Measure a thing.") == "Measure a thing."
    assert described("") == ""


def test_entry_without_a_name_is_an_error() -> None:
    with pytest.raises(ValueError, match="expected `name: text` under Args, got 'images'"):
        parse("Measure.\n\nArgs:\n    images").entries("Args")
