"""Measure how the pages read, and find numbers that a new version of a page has lost.

    python .ci/words.py [PAGE ...]           (or: make words) one line a page, then the words of ours that occur
    python .ci/words.py --numbers OLD PAGE   numbers of OLD, a file or a git revision of PAGE, that PAGE lacks

A sentence ends at a full stop, question or exclamation mark before a blank, or with its paragraph or list item. Blocks
of code, tables, headings, pictures and links' addresses are in no sentence. Code within a sentence counts as one word.

A sentence is passive if a form of "be" is followed by a past participle, with two words at most between them: a word
that ends in "ed", or one of a list of irregular ones. So "is tired" counts and "the job killed by Snakemake" does not.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
LONG = 25
"""Words that a sentence may have (a choice of ours)."""

OURS = {
    r"st(?:ands?|ood) (?:beside|side by side|in for)": "is included, is compared with, replaces",
    r"h(?:olds?|eld|olding) (?:[\w-]+ ){0,5}(?:to|against)": "compares with, checks against",
    r"for want of": "without",
    r"became of": "the outcome of",
    r"the corridor": "the pipeline",
    r"must I stand": "which directory do I run from",
    r"(?:goes|go|going) on (?:with|from)|same command goes on": "resumes",
    r"(?:made|makes?|making|computed?s?|done) (?:it |them |the work )?again|anew": "reruns, recomputes, from scratch",
    r"(?:after|of) a kill": "after an interruption",
    r"mend(?:s|ed|ing)?": "fix, repair",
    r"brought along": "supplied",
    r"(?:tell|tells|told) (?:[\w-]+ ){0,2}(?:apart|from 0)": "distinguishes",
    r"(?:is|are|was|were) told|tells? of (?:itself|themselves)|told of itself": "is reported",
    r"in small": "at a small scale",
    r"(?:is|are|of) ours": "our choice, our method",
    r"way back": "the backward pass",
    r"dealt to": "shuffled among, assigned to",
    r"rightly": "correctly",
    r"beside (?:other work|others|much else)": "while other jobs ran",
    r"dear(?:er)?": "expensive",
    r"hold(?:s|ing)? 0|leav(?:e|es|ing) (?:out 0|0 out)": "contains 0, excludes 0",
    r"in the midst of": "in the middle of",
    r"left unused": "ignored",
    r"(?:by|on) the clock": "wall-clock",
    r"to the (?:byte|same bits?|bit)": "byte for byte, bit-identical",
    r"in the means?": "on average",
    r"withst(?:ands?|ood)": "is not fooled, survives",
    r"carr(?:y|ies|ied) over": "transfers",
    r"(?:passes|images|rows|seconds|s|ms|MB|lines?|microseconds|reads?|starts?) an? "
    r"(?:image|seed|row|job|file|epoch|class|pass|core|run|shard)": "per image, per seed, ...",
    r"does as \S+ does|do as much": "performs like",
    r"for nothing": "at no cost",
    r"no proof": "does not prove",
    r"at hand": "available",
    r"in the place of": "instead of",
    r"half measure": "partial solution",
    r"turned round": "reversed",
    r"(?:is|are) asked (?:for|of)": "is required",
    r"is alike": "is similar",
    r"lies beside|lie beside": "is next to",
}
"""What readers of this field stumble over, as patterns, each with the field's word."""

BE = {"am", "is", "are", "was", "were", "be", "been", "being"}
PARTICIPLE = re.compile(
    r"\w{3,}ed|begun|bound|brought|built|chosen|cut|dealt|done|drawn|driven|fed|felt|found|forgotten|frozen|given|gone|held|"
    r"hidden|kept|known|laid|led|left|lost|made|met|paid|put|read|rewritten|run|said|seen|sent|set|shown|shut|spent|"
    r"split|spoken|stolen|taken|taught|thought|thrown|told|understood|undone|unfrozen|woven|written"
)
ABBREVIATION = re.compile(r"(?:^|\W)(?:al|Figs?|e\.g|i\.e|vs|eq|cf|ca)\.$")
NUMBER = re.compile(
    r"(?<![\w.])(?:[-+±]\s?)?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?"
    r"(?:\s?(?:%|x\b|points?\b|[mun]?s\b|min\b|minutes?\b|seconds?\b|hours?\b|days?\b|[KMGT]i?B\b|[GT]FLOP(?:/s)?\b|px\b))?"
)


class Reading(NamedTuple):
    """How a page reads."""

    words: int
    mean_length: float
    long_length: int
    long_share: float
    passive_share: float
    own_words: Counter[str]


def _without_code(text: str) -> str:
    text = re.sub(r"^ *```.*?^ *```$", "\n", text, flags=re.M | re.S)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
    text = re.sub(r"`[^`]+`", "Code", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"\*+(?=\S)|(?<=\S)\*+", "", text)


def _paragraphs(text: str) -> list[str]:
    """Return paragraphs and list items, without tables, formulas set as quotations, and headings."""
    paragraphs = [""]
    for line in _without_code(text).splitlines():
        if not line.strip() or line.strip().startswith(("|", "#", ">")):
            paragraphs.append("")
        elif item := re.match(r"\s*(?:[-*]|\d+\.) (.*)", line):
            paragraphs.append(item[1])
        else:
            paragraphs[-1] += " " + line.strip()
    return paragraphs


def _split(paragraph: str) -> list[list[str]]:
    found: list[list[str]] = [[]]
    for word in paragraph.split():
        found[-1] += [word] if any(letter.isalnum() for letter in word) else []
        if re.search(r"[.!?][\"')]*$", word) and not ABBREVIATION.search(word):
            found.append([])
    return [sentence for sentence in found if sentence]


def sentences(text: str) -> list[list[str]]:
    """Return the sentences of a page, each as its words."""
    return [sentence for paragraph in _paragraphs(text) for sentence in _split(paragraph)]


def is_passive(sentence: list[str]) -> bool:
    """Say whether a form of "be" is followed by a participle, with two words at most between them."""
    words = [re.sub(r"\W", "", word).lower() for word in sentence]
    for place, word in enumerate(words):
        following = words[place + 1 : place + 4] if word in BE else []
        if any(PARTICIPLE.fullmatch(one) for one in following):
            return True
    return False


def own_words(text: str) -> Counter[str]:
    """Count the words of ours on a page, its tables too."""
    prose = " ".join(_without_code(text).split())
    return Counter(
        found.group().lower()
        for pattern in OURS
        for found in re.finditer(rf"(?<![\w-])(?:{pattern})(?![\w-])", prose, re.I)
    )


def read(text: str) -> Reading:
    """Measure a page."""
    lengths = sorted(len(sentence) for sentence in sentences(text)) or [0]
    count = len(lengths)
    return Reading(
        sum(lengths),
        sum(lengths) / count,
        lengths[-(-9 * count // 10) - 1],
        sum(length > LONG for length in lengths) / count,
        sum(map(is_passive, sentences(text))) / count,
        own_words(text),
    )


def numbers(text: str) -> Counter[str]:
    """Count the numbers of a page with their signs and units, those of code and tables too, but not of addresses."""
    text = re.sub(r"\]\([^)]*\)", "]", text)
    return Counter(re.sub(r"\s+", "", found) for found in NUMBER.findall(text))


def _table(pages: list[Path]) -> list[str]:
    lines = [f"{'page':<24}{'words':>7}{'mean':>7}{'90 %':>6}{'> ' + str(LONG):>7}{'passive':>9}{'ours':>6}"]
    total: Counter[str] = Counter()
    for page in pages:
        seen = read(page.read_text(encoding="utf-8"))
        total += seen.own_words
        shares = f"{seen.long_share:>7.0%}{seen.passive_share:>9.0%}{seen.own_words.total():>6}"
        lines.append(f"{page.name:<24}{seen.words:>7}{seen.mean_length:>7.1f}{seen.long_length:>6}{shares}")
    for phrase, count in sorted(total.items(), key=lambda item: (-item[1], item[0])):
        word = next(word for pattern, word in OURS.items() if re.fullmatch(pattern, phrase, re.I))
        lines.append(f"{count:>5}  {phrase}  ->  {word}")
    return lines


def _old_text(old: str, page: Path) -> str:
    if Path(old).is_file():
        return Path(old).read_text(encoding="utf-8")
    name = page.resolve().relative_to(ROOT)
    found = subprocess.run(["git", "show", f"{old}:{name}"], cwd=ROOT, capture_output=True, text=True, check=False)
    if found.returncode:
        sys.exit(f"Error: expected a file or a git revision that has {name}, got {old}")
    return found.stdout


def _lost(old: str, new: str) -> list[str]:
    before, after = numbers(old), numbers(new)
    return [
        f"{number}: {count} before, {after[number]} now" for number, count in before.items() if after[number] < count
    ]


def main(words: list[str]) -> None:
    """Print the measures of the pages, or the numbers that one has lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", type=Path, help="pages; all of them by default")
    parser.add_argument("--numbers", nargs=2, metavar=("OLD", "PAGE"), help="numbers of OLD that PAGE lacks")
    options = parser.parse_args(words)
    if options.numbers:
        old, page = options.numbers[0], Path(options.numbers[1])
        print("\n".join(_lost(_old_text(old, page), page.read_text(encoding="utf-8"))) or "no number is lost")
    else:
        print("\n".join(_table(options.pages or [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])))


if __name__ == "__main__":
    main(sys.argv[1:])
