import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from pumalib.perceptron.overlap import angle_errors, one_minus_overlap
from pumalib.perceptron.teachers import teacher_direction, true_margins


@pytest.mark.parametrize("name", ["axis", "dense", "random"])
def test_linf_margin_is_the_smallest_perturbation_that_a_linear_program_finds(name):
    teacher = teacher_direction(name, 5, 2)
    inputs = np.random.default_rng(0).standard_normal((8, 5))
    for row, margin in zip(inputs, true_margins(inputs, teacher, "linf"), strict=True):
        identity, column = np.eye(5), np.ones((5, 1))
        solved = linprog(
            np.r_[np.zeros(5), 1],
            A_ub=np.block([[identity, -column], [-identity, -column]]),
            b_ub=np.zeros(10),
            A_eq=np.r_[teacher, 0][None],
            b_eq=[-row @ teacher],
            bounds=[(None, None)] * 5 + [(0, None)],
        )
        assert margin == pytest.approx(solved.x[-1])


def test_l2_margin_is_the_length_of_the_projection(unit):
    inputs = np.random.default_rng(0).standard_normal((8, 5))
    for teacher in (unit(5), 3 * unit(5)):
        length = np.linalg.norm(np.outer(inputs @ teacher, teacher) / (teacher @ teacher), axis=1)
        np.testing.assert_allclose(true_margins(inputs, teacher, "l2"), length)


def test_both_norms_rank_inputs_alike():
    teacher, inputs = teacher_direction("random", 20, 0), np.random.default_rng(1).standard_normal((200, 20))
    linf, l2 = (np.argsort(true_margins(inputs, teacher, norm)) for norm in ("linf", "l2"))
    assert (linf == l2).all()


@pytest.mark.parametrize("name", ["axis", "dense", "random"])
def test_teachers_are_unit_vectors_and_only_the_random_one_depends_on_the_seed(name):
    first, second = (teacher_direction(name, 200, seed) for seed in (0, 1))
    assert np.linalg.norm(first) == pytest.approx(1)
    assert np.array_equal(first, second) == (name != "random")


@given(angle=st.floats(0, np.pi), scale=st.floats(1e-3, 1e3))
def test_errors_of_a_student_at_a_known_angle(angle, scale):
    teacher, across = np.eye(4)[0], np.eye(4)[2]
    weights = scale * (np.cos(angle) * teacher + np.sin(angle) * across)[:, None]
    errors = angle_errors(weights, teacher)
    assert errors == pytest.approx(angle / np.pi, abs=1e-12)
    assert one_minus_overlap(errors) == pytest.approx(1 - np.cos(angle), abs=1e-12)


def test_tiny_angles_keep_their_digits():
    weights = np.array([1.0, 1e-9, 0.0])[:, None]
    assert angle_errors(weights, np.eye(3)[0]) == pytest.approx(1e-9 / np.pi, rel=1e-6)
    assert one_minus_overlap(angle_errors(weights, np.eye(3)[0])) == pytest.approx(0.5e-18, rel=1e-6)


def test_angle_error_is_the_share_of_inputs_labelled_otherwise(unit):
    teacher, student = unit(10, 0), unit(10, 1)
    inputs = np.random.default_rng(2).standard_normal((100_000, 10))
    share = ((inputs @ teacher > 0) != (inputs @ student > 0)).mean()
    assert angle_errors(student[:, None], teacher)[0] == pytest.approx(share, abs=0.006)


def test_student_that_learned_nothing_has_overlap_zero():
    errors = angle_errors(np.zeros((3, 2)), np.eye(3)[0])
    assert errors.tolist() == [0.5, 0.5]
    np.testing.assert_allclose(one_minus_overlap(errors), 1)
