import re
from pathlib import Path

from pumalib.abstraction.study import ABSTRACTION_TARGETS
from pumalib.perceptron.study import PERCEPTRON_TARGETS
from pumalib.results.collect import CLEAN_ATTACK
from pumalib.selection.settings import RANDOM
from pumalib.setting_errors import NAME_PATTERN
from pumalib.study.checks import RESERVED_NAMES, TARGETS

ROOT = Path(__file__).parents[2]


def test_targets_are_the_rules_of_the_workflow() -> None:
    files = [ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    rules = re.findall(r"^\s*(?:rule|checkpoint|use rule \w+ as) (\w+)(?: with)?:", text, re.M)
    (of_trainings,) = re.findall(r"^TRAINING_RULES = \{(.*?)^\}$", text, re.M | re.S)
    rules += re.findall(r'"(\w+)"', of_trainings)
    assert len(rules) > 5
    assert set(rules) == TARGETS | PERCEPTRON_TARGETS | ABSTRACTION_TARGETS


def test_further_rules_of_trainings_are_called_as_no_report_can_be() -> None:
    text = (ROOT / "rules/choices.smk").read_text(encoding="utf-8")
    (name,) = re.findall(r'f"(\S+_)\{place\}"', text)
    assert re.match(NAME_PATTERN, name.replace("{script}", "model")) is None


def test_names_with_a_meaning_of_their_own_are_reserved() -> None:
    assert CLEAN_ATTACK in RESERVED_NAMES["attacks"][0]
    assert RANDOM in RESERVED_NAMES["scores"][0]
