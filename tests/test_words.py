"""What `make words` says of a page, counted by hand."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / ".ci/words.py"


@pytest.fixture(scope="module")
def words() -> ModuleType:
    spec = importlib.util.spec_from_file_location("words", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PAGE = """# A heading is no sentence

The job is killed. **It resumes** from [its last state, which was saved](resume.md#a-long-address) in time!
A line goes
on.

| a table | is no sentence. |
|---|---|

* One item without a full stop
* Call `snakemake --cores all` twice. Maroto et al. 2024 (Fig. 3) say so, e.g. at 0.5 points.

```
no sentence. none.
```

![no sentence. none.](picture.png)
"""


def test_sentences_end_at_full_stops_and_with_their_paragraph(words: ModuleType) -> None:
    assert [" ".join(sentence) for sentence in words.sentences(PAGE)] == [
        "The job is killed.",
        "It resumes from its last state, which was saved in time!",
        "A line goes on.",
        "One item without a full stop",
        "Call Code twice.",
        "Maroto et al. 2024 (Fig. 3) say so, e.g. at 0.5 points.",
    ]


def test_page_is_measured_as_by_hand(words: ModuleType) -> None:
    seen = words.read(PAGE)
    assert seen.words == 4 + 11 + 4 + 6 + 3 + 12
    assert seen.mean_length == 40 / 6
    assert seen.long_length == 12  # of 3 4 4 6 11 12, the sixth is the first with nine tenths at or below it
    assert seen.long_share == 0
    assert seen.passive_share == 2 / 6


def test_sentence_of_26_words_is_long_and_of_25_is_not(words: ModuleType) -> None:
    assert words.read("word " * 25).long_share == 0
    assert words.read("word " * 26).long_share == 1


@pytest.mark.parametrize(
    ("sentence", "passive"),
    [
        ("The file is read.", True),
        ("Rows were not always kept.", True),
        ("It has been made by hand.", True),
        ("Snakemake reads the file.", False),
        ("The job that you killed resumes.", False),
        ("It is red.", False),
        ("This is what a job writes when killed.", False),
    ],
)
def test_passive_is_a_form_of_be_and_a_participle(words: ModuleType, sentence: str, passive: bool) -> None:
    assert words.is_passive(sentence.split()) == passive


def test_words_of_ours_are_counted_across_lines_and_in_tables_but_not_in_code(words: ModuleType) -> None:
    text = "Baselines stand\nbeside it, and the\ncorridor goes on with it.\n\n| 593 images a seed |\n\n`made again`"
    assert words.own_words(text) == {"stand beside": 1, "the corridor": 1, "goes on with": 1, "images a seed": 1}


def test_every_word_of_ours_has_the_word_of_the_field(words: ModuleType) -> None:
    assert all(words.OURS.values())
    assert words.own_words("Resume, detect, worker, retry, seed, checkpoint, baseline, per image, correctly.") == {}


def test_numbers_have_signs_and_units(words: ModuleType) -> None:
    text = "+0.51 [-0.88, 1.89] of 10,963 rows in 4 min, 20 % of `8/255`; ResNet-18, 3-5, 1.5e+11 (0.36x), 9 ± 0.53."
    expected = "+0.51, -0.88, 1.89, 10,963, 4min, 20%, 8, 255, 18, 3, 5, 1.5e+11, 0.36x, 9, ±0.53"
    assert ", ".join(words.numbers(text).elements()) == expected


def test_lost_numbers_are_named_whatever_address_they_stood_in(words: ModuleType, tmp_path: Path) -> None:
    old, new = tmp_path / "old.md", tmp_path / "new.md"
    old.write_text("It loses -1.26 points in 4\nmin, [see](page.md#in-7-steps). Again 4 min.")
    new.write_text("In 4 min it loses 1.26 points.")
    command = [sys.executable, str(SCRIPT), "--numbers", str(old), str(new)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == ["-1.26points: 1 before, 0 now", "4min: 2 before, 1 now"]


def test_revision_without_the_page_is_one_sentence() -> None:
    command = [sys.executable, str(SCRIPT), "--numbers", "no-such-revision", str(ROOT / "docs/faq.md")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert result.stderr == "Error: expected a file or a git revision that has docs/faq.md, got no-such-revision\n"


def test_pages_are_listed_with_their_measures(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Baselines stand beside it.")
    result = subprocess.run([sys.executable, str(SCRIPT), str(page)], capture_output=True, text=True, check=True)
    head, line, phrase = result.stdout.splitlines()
    assert head.split() == ["page", "words", "mean", "90", "%", ">", "25", "passive", "ours"]
    assert line.split() == ["page.md", "4", "4.0", "4", "0%", "0%", "1"]
    assert phrase.split("->")[0].split() == ["1", "stand", "beside"]
