"""Scores gathered during training, through the whole workflow."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

pytestmark = pytest.mark.slow

STUDY = {
    "study": "tracked",
    "seeds": [0],
    "threat": {"norm": "linf", "epsilon": 0.2},
    "datasets": {
        "digits": {"source": "digits", "split": "seeded", "test_fraction": 0.3, "train_count": 200, "test_count": 50}
    },
    "pools": {"digits": {"dataset": "digits"}},
    "defaults": {
        "pool": "digits",
        "architecture": {"name": "mlp", "width": 16},
        "training": {
            "epochs": 4,
            "samples_per_epoch": 320,
            "batch_size": 64,
            "learning_rate": 0.1,
            "schedule_unit": "step",
            "attack_steps": 2,
            "crop_padding": 0,
            "horizontal_flip": False,
        },
    },
    "scores": {
        "difficulty": {"method": "classification_difficulty", "tracked": "first"},
        "visited": {"method": "classification_difficulty", "tracked": "first", "counted": "visits"},
        "el2n": {"method": "el2n", "tracked": ["first", "second"], "last_epoch": 2},
        "grand": {"method": "grand", "tracked": "first"},
        "noise": {"method": "random"},
        "margin": {"method": "fast_margin", "model": "first", "max_iterations": 20, "bisection_steps": 2},
    },
    "runs": {
        "first": {"track": {"correct": {}, "el2n": {}, "grand": {"first_epoch": 4}, "visits": {}}},
        "second": {"track": {"el2n": {"last_epoch": 3}}, "repetition": 1},
        "pruned": {
            "prune": [
                {"by": "el2n", "drop": "easiest", "fraction": 0.1},
                {"by": "difficulty", "drop": "hardest", "fraction": 0.05},
                {"by": "noise", "drop": "easiest", "fraction": 0.05},
            ]
        },
    },
    "attacks": {"pgd": {"method": "pgd", "steps": 2}},
}
PRUNED = {"select rows of pruned", "train pruned", "attack pruned", "results of tracked", "page of tracked"}


@pytest.fixture(scope="module")
def tracked(make_checkout):
    checkout = make_checkout()
    (checkout.folder / "tracked.yaml").write_text(yaml.safe_dump(STUDY))
    result = checkout.run(study="tracked.yaml")
    assert result.returncode == 0, result.stdout + result.stderr
    return checkout


def planned_after(checkout, old, new):
    text = (checkout.folder / "tracked.yaml").read_text()
    assert text.count(old) == 1
    (checkout.folder / "changed.yaml").write_text(text.replace(old, new))
    return checkout.planned("changed.yaml")


def read(path: Path, name: str):
    with h5py.File(path) as file:
        return file[name][...]


def test_gathered_scores_are_the_means_of_the_tracks_and_feed_a_cut(tracked):
    results = tracked.folder / "results/tracked"
    tracks = [results / f"models/{run}/seed0/track.h5" for run in ("first", "second")]
    el2n = np.mean([read(path, "el2n")[:2].mean(0, dtype=float) for path in tracks], 0)
    score = read(results / "scores/el2n/seed0.h5", "score")
    np.testing.assert_allclose(score, el2n, rtol=1e-6)
    difficulty = read(results / "scores/difficulty/seed0.h5", "score")
    np.testing.assert_allclose(difficulty, (~read(tracks[0], "correct")).mean(0), rtol=1e-6)
    reason = read(results / "selections/pruned/seed0.h5", "reason")
    assert (reason == 0).sum() == round(0.1 * len(score))
    assert score[reason == 0].max() <= score[reason != 0].min()
    assert difficulty[reason == 1].min() >= difficulty[reason == -1].max()
    assert read(tracks[0], "visits/count").sum() == 4 * 320
    assert not np.array_equal(read(tracks[0], "el2n")[0], read(tracks[1], "el2n")[0])


def test_moving_the_window_of_a_score_retrains_what_it_prunes_and_not_what_it_was_tracked_from(tracked):
    assert planned_after(tracked, "last_epoch: 2", "last_epoch: 3") == {"gather score el2n"} | PRUNED


def test_tracking_more_trains_that_run_again(tracked):
    planned = planned_after(tracked, "last_epoch: 3", "last_epoch: 4")
    assert {"train second", "gather score el2n"} | PRUNED <= planned
    assert not {"train first", "gather score difficulty"} & planned


def test_editing_a_quantity_trains_the_runs_that_track_it_again(tracked):
    path = "pumalib/training/quantities/grand.py"
    tracked.edit(path, "2**28", "2**27")
    try:
        planned = tracked.planned("tracked.yaml")
    finally:
        tracked.edit(path, "2**27", "2**28")
    assert {"train first", "gather score grand"} <= planned
    assert "train second" not in planned
    assert tracked.planned("tracked.yaml") == set()
