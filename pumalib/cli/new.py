"""Write a study to begin with: of a folder of images, or of scikit-learn's digits.

With --images, the folder is looked at: classes, counts, sizes, colours. What the study should say follows from them,
and stands in it with short comments. In a terminal, without options, the command asks.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

from pumalib.cli.check import print_plan
from pumalib.cli.usage import UsageError
from pumalib.errors import ConfigError
from pumalib.setting_errors import NAME_PATTERN
from pumalib.starting.proposal import propose, usual_epsilon, usual_size
from pumalib.starting.study_text import digits_text, images_text
from pumalib.starting.survey import Survey, survey
from pumalib.study.file import load_study
from pumalib.study.plan import plan_of
from pumalib.study.study import Study

EXAMPLES = (
    "new mine --images my/photos",
    "new mine --images my/photos --image-size 32 --epsilon 8/255 --seeds 5",
    "new first",
)

_MOST_SEEDS = 100

Value = TypeVar("Value")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the name, and what would be asked."""
    parser.add_argument("name", type=_name, help="of the study: its file is NAME.yaml, its results results/NAME")
    parser.add_argument("--images", metavar="FOLDER", help="folder of class folders, or of train/ and test/ with these")
    parser.add_argument("--image-size", type=_count(4096), metavar="N", help="pixels; default: by the images, up to 64")
    parser.add_argument("--epsilon", type=_epsilon, metavar="E", help="attack radius in L-inf, such as 8/255 or 0.1")
    parser.add_argument("--seeds", type=_count(_MOST_SEEDS), metavar="N", help="trainings of each run (default: 3)")
    parser.add_argument("--epochs", type=_count(100_000), metavar="N", help="passes over the images (default: 30)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="file to write (default: NAME.yaml)")


def _name(text: str) -> str:
    if not re.match(NAME_PATTERN, text) or len(text) > 100:
        raise argparse.ArgumentTypeError(f"expected letters, digits and any of + . _ = -, got {text!r}")
    return text


def _count(most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdigit() or not 0 < int(text) <= most:
            raise argparse.ArgumentTypeError(f"expected a number in [1, {most}], got {text}")
        return int(text)

    return read


def _epsilon(text: str) -> str:
    try:
        is_good = 0 < Fraction(text) <= 1
    except (ValueError, ZeroDivisionError):
        is_good = False
    if not is_good:
        raise argparse.ArgumentTypeError(f"expected an amount in (0, 1], such as 8/255 or 0.1, got {text}")
    return text


def run(options: argparse.Namespace) -> int:
    """Write the study, check it as `puma check` does, and say what to do next."""
    out: Path = options.out or Path(f"{options.name}.yaml")
    if out.exists() or not _folder_above(out).is_dir():
        raise UsageError(f"expected a new file in a folder, got {out}; choose another name or --out")
    if options.image_size and not options.images:
        raise UsageError("expected --image-size only with --images")
    if sys.stdin.isatty() and not any(getattr(options, name) for name in ("images", "epsilon", "seeds", "epochs")):
        found = _asked(options)
    else:
        found = survey(options.images) if options.images else None
    study = _write(out, _text(options, str(out), found))
    print(f"{out}: {study.extent}, {len(study.settings.seeds)} seeds, no problem found")
    print_plan(plan_of(study))
    print(f"Look at it, then run it: puma run {out}")
    return 0


def _text(options: argparse.Namespace, file: str, found: Survey | None) -> str:
    seeds = options.seeds or 3
    if found is None:
        return digits_text(options.name, file, epsilon=options.epsilon, seeds=seeds, epochs=options.epochs)
    proposed = propose(found, options.image_size, options.epsilon)
    return images_text(options.name, file, found, proposed, seeds=seeds, epochs=options.epochs)


def _write(out: Path, text: str) -> Study:
    """Write the file whole, or not at all where a check objects or the file came to be meanwhile."""
    part = _folder_above(out) / f".{out.name}.part"
    try:
        part.write_text(text, encoding="utf-8")
        study = load_study(part)
        assert isinstance(study, Study)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.hardlink_to(part)
    except ConfigError as error:
        raise ConfigError(str(error).replace(str(part), str(out))) from None
    except FileExistsError:
        raise UsageError(f"expected a new file, got {out}, which came to be meanwhile") from None
    finally:
        part.unlink(missing_ok=True)
    return study


def _folder_above(file: Path) -> Path:
    """Return the nearest folder above a file that is there; the others are made when the file is written."""
    return next(path for path in file.parents if path.exists())


def _asked(options: argparse.Namespace) -> Survey | None:
    try:
        return _ask(options)
    except EOFError:
        raise UsageError("expected an answer, got the end of the input; nothing was written") from None


def _ask(options: argparse.Namespace) -> Survey | None:
    """Ask for what no option said; an empty answer takes what stands in brackets."""
    options.images = input("Folder of images [none: scikit-learn's digits]: ").strip()
    found = survey(options.images) if options.images else None
    if found is not None:
        print(f"{found.num_classes} classes, {found.num_images:,} images")
        options.image_size = _answer("Height and width to bring them to", usual_size(found), _count(4096))
    epsilon = usual_epsilon(found, options.image_size) if found is not None else "0.1"
    options.epsilon = _answer("Attack radius (epsilon)", epsilon, _epsilon)
    options.seeds = _answer("Trainings of each run (seeds)", 3, _count(_MOST_SEEDS))
    return found


def _answer(question: str, default: Value, read: Callable[[str], Value]) -> Value:
    """Ask until the answer can be read."""
    while answer := input(f"{question} [{default}]: ").strip():
        try:
            return read(answer)
        except argparse.ArgumentTypeError as error:
            print(error)
    return default
