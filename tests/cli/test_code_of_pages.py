"""Every piece of Python on a page is run: here, on a small study in place of the reader's, or by a test of its own."""

from pathlib import Path

import numpy as np
import pytest
from document_blocks import PAGES, Block, blocks_of
from test_commands_on_files import on_small_study

FOLLOWED = ("quick-start", "your-own", "large-images", "selection", "robust-pruning")
RUN_BY_TESTS = {
    "CONTRIBUTING.md": "tests/test_contributing.py",
    "api.md": "tests/reference/test_api_page.py",
    "export.md": "tests/export/test_export_page.py",
    **{f"{name}.md": "tests/test_documents.py" for name in FOLLOWED},
}
RUN_ELSEWHERE = {
    ("studies.md", "class Lines"): "tests/trackers/test_trackers.py",
    ("artifacts.md", "load_file"): "tests/cli/test_commands_on_files.py",
    ("artifacts.md", "TensorDataset"): "tests/cli/test_commands_on_files.py",
    ("README.md", "h5py"): "tests/cli/test_commands_on_files.py",
}
"""What is run without this library, or with more around it: page, and a word of the block."""
SMALLER = {
    **{"results/digits-paper": "results/small", "pd-{share}": "puma", "random-{share}": "trades"},
    "range(5)": "range(1)",
    **{"results/mnist-rdl": "results/small", '("natural", "learned", "trades")': '("puma",)', '"aa"': '"shortest"'},
}
"""What a block says of a study that the small one has not."""
GENERATOR = np.random.default_rng(0)
GIVEN = {"correct": GENERATOR.random((3, 50)) < 0.9, "baseline": GENERATOR.random((3, 50)) < 0.8}
"""What the text around a block says that the reader has."""


def is_python(block: Block) -> bool:
    return block.language == "python" or (not block.language and block.text.startswith(("import ", "from ")))


def is_run_elsewhere(page: Path, block: Block) -> bool:
    return page.name in RUN_BY_TESTS or any(page.name == name and word in block.text for name, word in RUN_ELSEWHERE)


CODE = [
    pytest.param(block, id=f"{page.stem} {number}")
    for page in PAGES
    for number, block in enumerate(blocks_of(page))
    if is_python(block) and not is_run_elsewhere(page, block)
]


@pytest.mark.parametrize("block", CODE)
def test_code_of_a_page_runs(in_study: Path, block: Block) -> None:
    text = block.text
    for name, stand_in in SMALLER.items():
        text = text.replace(name, stand_in)
    exec(compile(on_small_study(text), "<page>", "exec"), dict(GIVEN))


def test_no_exception_is_out_of_date() -> None:
    texts = {page.name: [block.text for block in blocks_of(page) if is_python(block)] for page in PAGES}
    assert all(texts[name] for name in RUN_BY_TESTS)
    assert [key for key in RUN_ELSEWHERE if not any(key[1] in text for text in texts[key[0]])] == []
