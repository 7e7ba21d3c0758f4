"""Every method is whole: a class of settings in its union, and a module of its name with what its stage calls.

What is forgotten of a new method fails here, if a study that names it was not refused before.
"""

import importlib
import inspect
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Literal, NamedTuple, get_args, get_origin

import pytest

from pumalib.abstraction.settings import AbstractionCurvesSettings
from pumalib.attacks.settings import AttackSettings, WorstOfSettings, attack_module
from pumalib.data.guidance_settings import GuidanceSettings
from pumalib.data.settings import DatasetSettings, SyntheticSettings, source_module
from pumalib.errors import ConfigError
from pumalib.learning.settings import LearnedSettings, learning_module
from pumalib.perceptron.settings import PerceptronReportSettings
from pumalib.reporting.cost_passes import counts_passes
from pumalib.scores.settings import (
    CustomScoreSettings,
    FeatureScoreSettings,
    FileScoreSettings,
    LookingScoreSettings,
    MarginSettings,
    RandomSettings,
    ScoreSettings,
    TrackedScore,
    TrackedScoreSettings,
    looks_through_a_model,
)
from pumalib.selection.settings import (
    EpsilonSettings,
    OwnRuleSettings,
    RuleSettings,
    _ForSomeRows,
    policy_module,
    scores_read,
)
from pumalib.settings import Settings, by_kind, members
from pumalib.study.check_modules import CALLED, expect_names, modules_of, names_in
from pumalib.study.file import load_study
from pumalib.study.reports import KINDS, report_kinds
from pumalib.study.study import Study
from pumalib.synthesis.settings import guidance_module, synthetic_module
from pumalib.tracks.passes import PASSES, VISITS
from pumalib.tracks.settings import TrackSettings, quantity_module
from pumalib.training.dynamic.settings import DynamicPruningSettings, dynamic_module
from pumalib.training.online.settings import OnlineEpsilonSettings, online_module
from pumalib.training.settings import METHODS, AttackedRecipeSettings, RecipeSettings, TrainingSettings, method_module

ROOT = Path(__file__).parents[2]


class Room(NamedTuple):
    """Where methods of one sort are: classes of a union, told apart by a key, and modules of a package."""

    union: Any
    key: str
    package: str
    modules: set[str]

    @property
    def module_of_settings(self) -> str:
        return members(self.union)[0].__module__


ROOMS = {
    "dataset sources": Room(
        DatasetSettings,
        "source",
        "pumalib.data.sources",
        {source_module(n) for n in by_kind(DatasetSettings, "source")},
    ),
    "synthetic sets": Room(
        SyntheticSettings,
        "method",
        "pumalib.synthesis.methods",
        {synthetic_module(name) for name in by_kind(SyntheticSettings, "method")},
    ),
    "guidance": Room(
        GuidanceSettings,
        "method",
        "pumalib.synthesis.guidance",
        {guidance_module(name) for name in by_kind(GuidanceSettings, "method")},
    ),
    "learned pools": Room(
        LearnedSettings,
        "method",
        "pumalib.learning.methods",
        {learning_module(name) for name in by_kind(LearnedSettings, "method")},
    ),
    "training methods": Room(
        TrainingSettings, "method", "pumalib.training.methods", {method_module(name) for name in METHODS}
    ),
    "rows left out of epochs": Room(
        DynamicPruningSettings,
        "method",
        "pumalib.training.dynamic",
        {dynamic_module(name) for name in by_kind(DynamicPruningSettings, "method")},
    ),
    "online policies": Room(
        OnlineEpsilonSettings,
        "policy",
        "pumalib.training.online",
        {online_module(name) for name in by_kind(OnlineEpsilonSettings, "policy")},
    ),
    "epsilon policies": Room(
        EpsilonSettings,
        "policy",
        "pumalib.selection.policies",
        {policy_module(name) for name in by_kind(EpsilonSettings, "policy")},
    ),
    "pruning rules": Room(
        RuleSettings,
        "rule",
        "pumalib.selection.rules",
        {f"pumalib.selection.rules.{name}" for name in by_kind(RuleSettings, "rule")},
    ),
    "scores": Room(
        ScoreSettings,
        "method",
        "pumalib.scores",
        {f"pumalib.scores.{name}" for name in (*by_kind(ScoreSettings, "method"), "custom")},
    ),
    "attacks": Room(
        AttackSettings, "method", "pumalib.attacks", {attack_module(name) for name in by_kind(AttackSettings, "method")}
    ),
}


@pytest.mark.parametrize("name", ROOMS)
def test_modules_that_have_what_a_stage_calls_are_those_that_settings_name(name: str) -> None:
    room = ROOMS[name]
    called = set(CALLED[room.package])
    path = import_module(room.package).__path__
    found = {
        f"{room.package}.{each.name}"
        for each in iter_modules(path)
        if called <= names_in(Path(path[0], f"{each.name}.py"))
    }
    assert found == room.modules


@pytest.mark.parametrize("name", ROOMS)
def test_classes_with_a_name_for_a_study_are_those_of_the_union(name: str) -> None:
    room = ROOMS[name]
    classes = [each for each in vars(import_module(room.module_of_settings)).values() if inspect.isclass(each)]
    named = {
        each
        for each in classes
        if issubclass(each, Settings)
        and each.__module__ == room.module_of_settings
        and room.key in each.model_fields
        and get_origin(each.model_fields[room.key].annotation) is Literal
    }
    alike = {each for each in members(room.union) if each.__module__ == room.module_of_settings}
    others = {member for union in _unions_beside(room) for member in members(union)}
    # A worst case attacks nothing, so it has no module.
    assert named - others - {WorstOfSettings} == alike - {CustomScoreSettings, OwnRuleSettings}


def _unions_beside(room: Room) -> list[Any]:
    """Return other unions of the same module, told apart by the same key."""
    rooms = [each for each in ROOMS.values() if each.module_of_settings == room.module_of_settings]
    return [each.union for each in rooms if each.key == room.key and each.union is not room.union]


@pytest.mark.parametrize("name", ROOMS)
def test_no_two_classes_have_a_name_in_common(name: str) -> None:
    room = ROOMS[name]
    names = [each for member in members(room.union) for each in get_args(member.model_fields[room.key].annotation)]
    assert len(names) == len(set(names)) == len(by_kind(room.union, room.key))


def test_every_method_of_training_says_what_a_draw_costs_and_perturbs_only_with_an_attack() -> None:
    for name, settings in METHODS.items():
        assert issubclass(settings, RecipeSettings)
        assert settings.has_attack == issubclass(settings, AttackedRecipeSettings)
        passes = settings(method=name).outer_passes
        assert min(passes) > 0
        method = inspect.getsource(import_module(method_module(name)))
        assert ("step.perturb(" in method) == settings.has_attack
        assert ("def attack_objective(" in method) == settings.has_attack


def test_method_of_training_that_does_not_say_what_a_draw_costs_is_refused() -> None:
    with pytest.raises(TypeError, match="expected outer_passes of Costly, got none"):

        class Costly(RecipeSettings):
            method: Literal["costly"] = "costly"


def test_trades_looks_at_the_clean_image_once_more_under_running_statistics() -> None:
    trades = METHODS["trades"]
    assert trades(attack_statistics="batch").outer_passes == (2, 2)
    assert trades(attack_statistics="running").outer_passes == (3, 2)


def test_every_score_looks_through_a_model_or_reads_tracks_or_knows_nothing() -> None:
    looking, tracked = set(members(LookingScoreSettings)), set(members(TrackedScoreSettings))
    assert looking | tracked | {RandomSettings, FileScoreSettings} == set(members(ScoreSettings))
    assert all("model" in settings.model_fields for settings in looking)
    assert all(issubclass(settings, TrackedScore) for settings in tracked)


def test_passes_of_a_score_that_counts_none_are_unknown_rather_than_none() -> None:
    model = {"run": "trades"}
    for settings in members(LookingScoreSettings):
        names = get_args(settings.model_fields["method"].annotation) or ("my:score",)
        score = settings(method=names[0], model=model, **({} if names[0] != "my:score" else {"higher_is": "harder"}))
        assert looks_through_a_model(score)
        assert counts_passes(score) == isinstance(score, MarginSettings | FeatureScoreSettings)
    assert counts_passes(RandomSettings(method="random"))


def test_every_policy_of_a_selection_is_for_some_rows_and_its_scores_are_read() -> None:
    online = set(members(OnlineEpsilonSettings))
    own = set(members(EpsilonSettings)) - online
    assert all(issubclass(settings, _ForSomeRows) for settings in own)

    class Ranked(_ForSomeRows):
        policy: Literal["ranked"] = "ranked"
        score: str = "difficulty"

    where = {"score": "margin", "above": 0.1}
    assert scores_read((), Ranked(where=where)) == ("difficulty", "margin")


def test_every_quantity_that_can_be_tracked_is_measured() -> None:
    assert {*PASSES, VISITS, "batch_size"} == set(TrackSettings.model_fields)
    package = "pumalib.training.quantities"
    modules = {f"{package}.{each.name}" for each in iter_modules(import_module(package).__path__)}
    assert {quantity_module(name) for name in PASSES} == modules


@pytest.mark.parametrize(("package", "name"), [(package, name) for package in CALLED for name in CALLED[package]])
def test_module_that_lacks_what_its_stage_calls_is_refused(
    package: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called, file = CALLED[package], f"{package.replace('.', '/')}/forgetful.py"
    monkeypatch.setattr(import_module(package), "__path__", [str(tmp_path)])
    with pytest.raises(ConfigError, match=f"expected a file {file} with .*{name}.*, got none, at here; write it"):
        expect_names(f"{package}.forgetful", called, "here")
    others = [each for each in called if each != name]
    (tmp_path / "forgetful.py").write_text("\n".join(f"def {each}(): ..." for each in others))
    importlib.invalidate_caches()
    with pytest.raises(ConfigError, match=f"in {file}, got no {name}, at here; write it, see CONTRIBUTING.md"):
        expect_names(f"{package}.forgetful", called, "here")


def test_everything_that_a_study_names_is_looked_for() -> None:
    study = load_study(ROOT / "tests/golden/study.yaml")
    assert isinstance(study, Study)
    packages = {named.module.rpartition(".")[0] for named in modules_of(study)}
    assert packages == set(CALLED) - {KINDS}  # a study of numbers alone
    places = {named.where for named in modules_of(study)}
    assert {f"runs.{name}.training.method" for name in study.runs} <= places
    assert {f"scores.{name}.method" for name in study.settings.scores} <= places
    assert {f"attacks.{name}.method" for name in study.settings.attacks} <= places


def test_every_kind_of_report_has_a_caption_and_no_caption_is_without_a_kind() -> None:
    theories = [*get_args(get_args(PerceptronReportSettings)[0]), AbstractionCurvesSettings]
    kinds = {*report_kinds(), *(get_args(each.model_fields["kind"].annotation)[0] for each in theories)}
    assert len(kinds) == 24
    captions = {path.stem for path in (ROOT / "rules/captions").glob("*.rst")}
    assert captions == kinds | {"overview", "numbers", "settings"}
