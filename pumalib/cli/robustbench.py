"""Write the accuracies of a run in the form of RobustBench's model_info files (JSON).

Numbers are those of results.csv, in per cent with two digits: means over seeds, or of one seed. Accuracy under
AutoAttack is `autoattack_acc`; under another attack it is `reported` alone, and the footnote names that attack. What
no file of the study knows (paper, authors, venue) is given as options.
"""

from __future__ import annotations

import argparse
import json

from pumalib.cli.paths import existing, writable
from pumalib.files.artifacts import write_text
from pumalib.lineage.robustbench import Paper, record_of

EXAMPLES = (
    "robustbench results/digits/results.csv --run puma-20 --attack cw",
    "robustbench results/digits/results.csv --run puma-20 --seed 0 --name 'Our paper' --out puma-20.json",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add results.csv, the run, and what no file knows."""
    parser.add_argument("results", help="results.csv of a study that has run")
    parser.add_argument("--run", required=True, dest="name_of_run", help="run of the record")
    parser.add_argument("--attack", help="attack that decides robust accuracy (default: AutoAttack, or the only one)")
    parser.add_argument("--seed", type=int, help="one seed (default: means over all)")
    parser.add_argument("--link", default="", help="address of the paper")
    parser.add_argument("--name", default="", help="title of the paper (default: the run and its study)")
    parser.add_argument("--authors", default="", help="authors of the paper")
    parser.add_argument("--venue", default="", help="where the paper was published")
    parser.add_argument("--additional-data", action="store_true", help="trained on more real images than the dataset's")
    parser.add_argument("--out", type=writable, help="JSON to write (default: print it)")


def run(options: argparse.Namespace) -> int:
    """Print the record, or write it."""
    paper = Paper(options.link, options.name, options.authors, options.venue, options.additional_data)
    results = existing(options.results)
    record = record_of(results, options.name_of_run, options.attack, options.seed, paper)
    text = json.dumps(record, indent=2, ensure_ascii=False)
    if options.out is None:
        print(text)
    else:
        write_text(options.out, f"{text}\n")
        print(options.out)
    return 0
