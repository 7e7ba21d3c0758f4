"""What a study may say of tracking and of tracked scores, and what is refused before any job."""

from collections.abc import Callable
from typing import Any

import jsonschema
import pytest

from pumalib.errors import ConfigError
from pumalib.study.file import load_merged_study
from pumalib.study.study import json_schema
from pumalib.tracks.passes import PASSES, names_of, passes_of
from pumalib.tracks.settings import TrackSettings

Put = Callable[..., dict[str, Any]]


@pytest.fixture
def tracked(study: dict[str, Any]) -> dict[str, Any]:
    """Return a study of two epochs whose scores are gathered from two runs."""
    track = {"correct": {}, "el2n": {"last_epoch": 1}, "visits": {}}
    study["runs"] |= {"first": {"track": track}, "second": {"track": track, "repetition": 1}}
    study["scores"] |= {
        "difficulty": {"method": "classification_difficulty", "tracked": "first"},
        "el2n": {"method": "el2n", "tracked": ["first", "second"], "last_epoch": 10},
        "noise": {"method": "random"},
    }
    study["defaults"]["training"] |= {"crop_padding": 0, "horizontal_flip": False}
    study["runs"]["hard"] = {"prune": [{"by": "difficulty", "at_least": 1.0}, {"by": "noise", "above": 0.9}]}
    return study


def test_tracked_scores_belong_to_the_pool_of_their_runs(tracked: dict[str, Any]) -> None:
    tracked["runs"]["first"]["pool"] = tracked["runs"]["second"]["pool"] = "real"
    tracked["runs"]["hard"] = {"pool": "real", "prune": [{"by": "el2n", "drop": "easiest", "fraction": 0.1}]}
    loaded = load_merged_study(tracked, [])
    assert [loaded.score_pool(name) for name in ("difficulty", "el2n", "noise")] == ["real", "real", "digits+100"]
    assert loaded.runs_behind("el2n", 3) == [("first", 3), ("second", 3)]
    assert loaded.runs_behind("noise", 3) == []


def test_nothing_is_tracked_unless_named(tracked: dict[str, Any]) -> None:
    runs = load_merged_study(tracked, []).runs
    assert (names_of(runs["trades"].track), runs["trades"].repetition) == ((), 0)
    assert (names_of(runs["second"].track), runs["second"].repetition) == (("correct", "el2n", "visits"), 1)


def test_only_correct_is_attacked_by_default() -> None:
    track = TrackSettings.model_validate({name: {} for name in PASSES})
    assert [name for name, settings in passes_of(track).items() if settings.inputs == "attacked"] == ["correct"]
    assert {settings.weights for settings in passes_of(track).values()} == {"current"}


def test_track_survives_the_form_that_rules_hand_on() -> None:
    track = TrackSettings.model_validate({"correct": {"every": 2}, "visits": {}, "grand": {"inputs": "attacked"}})
    assert TrackSettings.model_validate(track.model_dump()) == track


def test_json_schema_takes_one_run_or_a_list(tracked: dict[str, Any], put: Put) -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    validator.validate(tracked)
    for wrong in (3, [], "../x", None):
        with pytest.raises(jsonschema.ValidationError):
            validator.validate(put(tracked, "scores|difficulty|tracked", wrong))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("runs|first|track|corrects", {}, 'did you mean "correct"? at runs.first.track.corrects'),
        ("runs|first|track|correct|everyy", 2, 'did you mean "every"? at runs.first.track.correct.everyy'),
        ("runs|first|track|correct", {"last_epoch": 1, "first_epoch": 2},
         "expected last_epoch of at least first_epoch, got 1 after 2 at runs.first.track.correct"),
        ("runs|first|track|loss", {"first_epoch": 3},
         "expected first_epoch of at most 2, the run's epochs, got 3 at runs.first.track.loss.first_epoch"),
        ("runs|first|training", {"method": "natural"},
         "expected inputs: clean with natural training, which has no attack, got attacked at runs.first.track.correct"),
        ("runs|first|track|el2n|augmented", True,
         "expected augmented: false with a training that neither crops nor flips, got true at runs.first.track.el2n"),
        ("runs|first|track|el2n|norm", "l1", "at runs.first.track.el2n.norm"),
        ("runs|first|track|aign", {"norm": "l3"}, "expected norm l2, l1 or linf, got 'l3'"),
        ("runs|first|repetition", -1, "expected repetition to be greater than or equal to 0, got -1"),
        ("scores|difficulty|tracked", "firsts",
         'expected the name of a run, got "firsts"; did you mean "first"? at scores.difficulty.tracked'),
        ("scores|el2n|tracked", ["first", "first"], "expected distinct runs under tracked, got first, first"),
        ("scores|el2n|tracked", [], "expected at least 1 under tracked, got none at scores.el2n.tracked"),
        ("scores|el2n|tracked", ["first", "trades"],
         "expected runs.trades.track to hold el2n for scores.el2n, got nothing; add el2n: {} there"),
        ("scores|difficulty|tracked", "trades",
         "expected runs.trades.track to hold correct or visits for scores.difficulty, got nothing; add correct: {}"),
        ("scores|aign", {"method": "aign", "tracked": "first"},
         "expected runs.first.track to hold aign for scores.aign, got correct, el2n, visits; add aign: {} there"),
        ("runs|first|track", {"el2n": {}},
         "expected runs.first.track to hold correct or visits for scores.difficulty, got el2n; add correct: {} there"),
        ("scores|difficulty", {"method": "classification_difficulty", "tracked": "first", "counted": "visits",
                               "last_epoch": 1}, "expected no first_epoch or last_epoch with counted: visits"),
        ("scores|el2n|first_epoch", 2,
         "expected an epoch among 1..1 (every 1), where runs.first tracks el2n, got first_epoch 2 and last_epoch 10 "
         "at scores.el2n; move the window"),
        ("scores|el2n|first_epoch", 11, "expected last_epoch of at least first_epoch, got 10 after 11 at scores.el2n"),
        ("runs|second|pool", "real",
         "expected tracked runs of one pool, got first of pool digits+100 and second of pool real at scores.el2n"),
        ("runs|hard|pool", "real", "expected a score of pool real, got difficulty, a score of pool digits+100"),
        ("runs|first|prune", [{"by": "difficulty", "at_least": 1.0}],
         "without a cycle, got runs.first -> scores.difficulty -> runs.first; train the model they look"),
        ("runs|puma|epsilon|score", "difficulty",
         "expected a margin score, got difficulty (classification_difficulty) at runs.puma.epsilon.score"),
        ("runs|puma|epsilon|score", "noise", "expected a margin score, got noise (random) at runs.puma.epsilon.score"),
        ("scores|noise|pool", "rael", 'expected the name of a pool, got "rael"; did you mean "real"?'),
        ("scores|difficulty|method", "difficulty",
         "expected method deepfool, deepfool_published, fast_margin, refined_margin, class_center, k_center, "
         "classification_difficulty"),
    ],
)  # fmt: skip
def test_mistakes_of_tracking_are_found_before_any_job(
    tracked: dict[str, Any], put: Put, path: str, value: Any, message: str
) -> None:
    load_merged_study(tracked, [])
    with pytest.raises(ConfigError) as error:
        load_merged_study(put(tracked, path, value), [])
    assert message in str(error.value)
    assert str(error.value).startswith("expected")


def test_aign_of_runs_that_track_several_norms_is_refused(tracked: dict[str, Any]) -> None:
    tracked["runs"]["first"]["track"]["aign"] = {"norm": "l1"}
    tracked["runs"]["second"]["track"] = {**tracked["runs"]["second"]["track"], "aign": {"norm": "l1"}}
    tracked["scores"]["aign"] = {"method": "aign", "tracked": ["first", "second"]}
    load_merged_study(tracked, [])
    tracked["runs"]["second"]["track"]["aign"] = {}
    message = "track aign in one norm, got l1 from first and l2 from second at scores.aign.tracked; make a score for"
    with pytest.raises(ConfigError, match=message):
        load_merged_study(tracked, [])


def test_a_window_over_visits_alone_is_refused(tracked: dict[str, Any]) -> None:
    tracked["runs"]["first"]["track"] = {"visits": {}, "el2n": {}}
    load_merged_study(tracked, [])
    tracked["scores"]["difficulty"]["last_epoch"] = 1
    with pytest.raises(ConfigError, match="its runs track visits, which count the whole training; track correct"):
        load_merged_study(tracked, [])


def test_runs_that_track_different_things_are_told_which_one_lacks_what(tracked: dict[str, Any]) -> None:
    tracked["runs"]["second"]["track"] = {"el2n": {}, "visits": {}}
    tracked["scores"]["difficulty"]["tracked"] = ["first", "second"]
    load_merged_study(tracked, [])
    tracked["runs"]["first"]["track"] = {"el2n": {}, "correct": {}}
    message = "expected runs.second.track to hold correct .* for scores.difficulty, got el2n, visits"
    with pytest.raises(ConfigError, match=message):
        load_merged_study(tracked, [])
