"""Margins of a share of the rows, as docs/studies.md shows."""

import h5py
import numpy as np
import pytest

SCORE = "results/tiny/scores/margin/seed0.h5"


def change(raw):
    share = {"measured": 0.25, "neighbours": 5, "least_agreement": 0.3}
    raw["scores"]["margin"] = {"method": "deepfool", "model": "trades", "extrapolate": share}


def test_a_study_with_extrapolated_margins_is_planned(make_checkout):
    checkout = make_checkout()
    result = checkout.run("--dry-run", study=checkout.study("share.yaml", change))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "score margin, seed 0, shard 0" in result.stdout


@pytest.mark.slow
def test_a_study_prunes_and_perturbs_by_extrapolated_margins(make_checkout):
    checkout = make_checkout()
    study = checkout.study("share.yaml", change)
    result = checkout.run(study=study)
    assert result.returncode == 0, result.stdout + result.stderr
    with h5py.File(checkout.folder / SCORE) as file:
        measured, forwards = file["columns/measured"][:], file["columns/forwards"][:]
        assert 0.2 < measured.mean() < 0.3
        np.testing.assert_array_equal(forwards[~measured], 1)
        assert 0.3 <= file.attrs["held_back_agreement"] <= 1

    def change_more(raw):
        change(raw)
        raw["scores"]["margin"]["extrapolate"]["least_agreement"] = 1

    raised = checkout.study("raised.yaml", change_more)
    refused = checkout.run(SCORE, study=raised)
    assert refused.returncode != 0
    assert "measure a larger share of the rows, or all of them" in refused.stdout + refused.stderr
