"""A tiny study of the abstraction model through the real command line."""

import pandas as pd
import pytest
import yaml

STUDY = {
    "study": "model",
    "seeds": [0, 1],
    "abstraction": {
        "num_rows": 60,
        "num_weak": 3,
        "weak_mean": 0.3,
        "robust": {"probability": 0.9},
        "epsilons": [0.6],
        "descent": {"steps": 5},
    },
    "reports": {"figure": {"kind": "abstraction_curves"}},
}


@pytest.mark.slow
def test_model_ends_in_one_table_and_a_whole_figure_and_reruns_what_an_edit_touches(make_checkout):
    checkout = make_checkout()
    (checkout.folder / "model.yaml").write_text(yaml.safe_dump(STUDY))
    result = checkout.run(study="model.yaml")
    assert result.returncode == 0, result.stdout + result.stderr
    results = checkout.folder / "results/model"
    assert len(pd.read_csv(results / "abstraction.csv")) == 2 * 15
    for suffix in ("csv", "md", "png", "svg"):
        assert (results / f"reports/figure.{suffix}").stat().st_size > 0
    assert checkout.planned("model.yaml") == set()
    checkout.edit("pumalib/abstraction/report.py", "markersize=4,", "markersize=5,")
    assert checkout.planned("model.yaml") == {"report figure", "page of model"}
    checkout.edit("pumalib/abstraction/learning.py", "1 - step / descent.steps", "1 - 0.5 * step / descent.steps")
    assert checkout.planned("model.yaml") == {"students of model", "report figure", "page of model"}
