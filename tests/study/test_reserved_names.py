import re
from pathlib import Path

from pumalib.abstraction.study import ABSTRACTION_TARGETS
from pumalib.perceptron.study import PERCEPTRON_TARGETS
from pumalib.results.collect import CLEAN_ATTACK
from pumalib.selection.settings import RANDOM
from pumalib.study.checks import RESERVED_NAMES, TARGETS

ROOT = Path(__file__).parents[2]


def test_targets_are_the_rules_of_the_workflow() -> None:
    files = [ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk")]
    rules = re.findall(
        r"^\s*(?:rule|checkpoint) (\w+):", "\n".join(path.read_text(encoding="utf-8") for path in files), re.M
    )
    assert len(rules) > 5
    assert set(rules) == TARGETS | PERCEPTRON_TARGETS | ABSTRACTION_TARGETS


def test_names_with_a_meaning_of_their_own_are_reserved() -> None:
    assert CLEAN_ATTACK in RESERVED_NAMES["attacks"][0]
    assert RANDOM in RESERVED_NAMES["scores"][0]
