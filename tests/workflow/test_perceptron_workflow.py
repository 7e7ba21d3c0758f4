"""A tiny study of the perceptron theory through the real command line."""

import pandas as pd
import pytest
import yaml

STUDY = {
    "study": "theory",
    "seeds": [0, 1],
    "perceptron": {
        "num_features": 10,
        "students": {"online": {}, "logistic": {"steps": 5}},
        "teachers": ["dense"],
        "epsilons": [0, 0.05],
        "kept_fractions": [0.5],
        "alphas": [1, 2, 4],
        "shards": 2,
    },
    "reports": {
        "figure": {
            "kind": "error_curves",
            "student": "online",
            "teacher": "dense",
            "epsilon": 0.05,
            "fit_from_alpha": 1,
        }
    },
}


@pytest.fixture(scope="module")
def theory(make_checkout):
    checkout = make_checkout()
    (checkout.folder / "theory.yaml").write_text(yaml.safe_dump(STUDY))
    result = checkout.run(study="theory.yaml")
    assert result.returncode == 0, result.stdout + result.stderr
    return checkout


def test_theory_ends_in_one_table_and_whole_figures(theory):
    results = theory.folder / "results/theory"
    table = pd.read_csv(results / "perceptron.csv", keep_default_na=False)
    assert len(table) == 2 * 2 * 3 * 3 * 3  # students, seeds, alphas, prunings, epsilons with and without the filter
    assert set(table["student"]) == {"online", "logistic"}
    for suffix in ("csv", "md", "png", "svg"):
        assert (results / f"reports/figure.{suffix}").stat().st_size > 0


@pytest.mark.slow
def test_editing_a_student_reruns_that_student_and_what_follows(theory):
    assert theory.planned("theory.yaml") == set()
    theory.edit(
        "pumalib/perceptron/students/logistic.py",
        "rows = inputs.rows(curve).double()",
        "rows = 2 * inputs.rows(curve).double()",
    )
    assert theory.planned("theory.yaml") == {
        "logistic student, dense teacher, shard 0",
        "logistic student, dense teacher, shard 1",
        "errors of theory",
        "report figure",
        "page of theory",
    }
