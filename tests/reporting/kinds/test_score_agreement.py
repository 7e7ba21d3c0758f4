"""Scores held against each other: numbers done by hand, and what chance gives."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike

from pumalib.errors import DataError
from pumalib.reporting.kinds.score_agreement import SeedScores, agreement_page, agreement_parts, agreement_table
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.settings.score_agreement import ScoreAgreementSettings
from pumalib.scores.table import HigherIs, ScoreTable


def table_of(score: ArrayLike, higher_is: HigherIs = "harder", valid: ArrayLike | None = None) -> ScoreTable:
    values = np.asarray(score, np.float32)
    is_valid = np.ones(len(values), bool) if valid is None else np.asarray(valid, bool)
    return ScoreTable(values, is_valid, higher_is, "", "any", "pool")


def settings_of(*names: str, **options: Any) -> ScoreAgreementSettings:
    return ScoreAgreementSettings.model_validate({"kind": "score_agreement", "scores": names, **options})


def seeds_of(*tables: dict[str, ScoreTable], source: Sequence[int] | None = None) -> list[SeedScores]:
    return [
        SeedScores(seed, each, np.asarray([0] * len(next(iter(each.values())).score) if source is None else source))
        for seed, each in enumerate(tables)
    ]


def test_numbers_equal_those_done_by_hand() -> None:
    """AIGN 1 2 3 4 keeps rows 0 1 of four; the margin, easier where higher, keeps rows 0 3."""
    aign, margin = table_of([1, 2, 3, 4]), table_of([0.9, 0.1, 0.2, 0.5], "easier")
    settings = settings_of("aign", "margin", fractions=[0.25, 0.5, 0.75])
    (row,) = agreement_table(seeds_of({"aign": aign, "margin": margin}), settings).to_dict("records")
    assert (row["score"], row["beside"], row["source"], row["seed"], row["num_rows"]) == ("aign", "margin", "all", 0, 4)
    # ranks 1 2 3 4 against 4 1 2 3: sum of squared differences 9 + 1 + 1 + 1
    assert row["rank_correlation"] == pytest.approx(1 - 6 * 12 / (4 * 15))
    assert (row["overlap_0.25"], row["overlap_0.5"], row["overlap_0.75"]) == (1.0, 0.5, pytest.approx(2 / 3))


def test_rows_that_are_kept_are_the_easy_ones_unless_asked_otherwise() -> None:
    tables = {"first": table_of([1, 2, 3, 4]), "second": table_of([1, 4, 3, 2])}
    for keep, overlap in (("easiest", 1.0), ("hardest", 0.0)):
        table = agreement_table(seeds_of(tables), settings_of("first", "second", fractions=[0.25], keep=keep))
        assert table["overlap_0.25"].tolist() == [overlap]


def test_each_pair_stands_with_each_seed_and_each_source_in_the_order_of_the_settings() -> None:
    generator = np.random.default_rng(0)
    one, two = ({name: table_of(generator.random(12)) for name in ("z", "a", "m")} for _ in range(2))
    table = agreement_table(seeds_of(one, two, source=[0] * 5 + [1] * 7), settings_of("z", "a", "m", fractions=[0.5]))
    assert list(dict.fromkeys(zip(table["score"], table["beside"], strict=True))) == [
        ("z", "a"), ("z", "m"), ("a", "m"),
    ]  # fmt: skip
    assert table["source"].tolist()[:6] == ["all", "all", "real", "real", "synthetic", "synthetic"]
    assert table["seed"].tolist()[:4] == [0, 1, 0, 1]
    assert table["num_rows"].tolist()[:6] == [12, 12, 5, 5, 7, 7]


def test_a_source_is_ranked_and_cut_among_its_own_rows() -> None:
    """Within either source both agree; over all rows one of them puts the synthetic rows first."""
    first, second = table_of([1, 2, 3, 4, 5, 6]), table_of([4, 5, 6, 1, 2, 3])
    seeds = seeds_of({"first": first, "second": second}, source=[0, 0, 0, 1, 1, 1])
    table = agreement_table(seeds, settings_of("first", "second", fractions=[0.5])).set_index("source")
    assert table.loc["all", "overlap_0.5"] == 0
    assert table.loc["all", "rank_correlation"] < 0
    for source in ("real", "synthetic"):
        assert table.loc[source, "rank_correlation"] == pytest.approx(1)


def test_only_rows_that_both_scored_count() -> None:
    first = table_of([1, 2, 3, np.nan], valid=[True, True, True, False])
    second = table_of([9, 1, 2, 3], valid=[False, True, True, True])
    table = agreement_table(seeds_of({"a": first, "b": second}), settings_of("a", "b", fractions=[0.5]))
    assert table["num_rows"].tolist() == [2]
    assert table["rank_correlation"].tolist() == pytest.approx([1])


def test_scores_that_tell_no_rows_apart_overlap_by_chance_and_have_no_rank_correlation() -> None:
    size = 20_000
    tables = {"a": table_of(np.zeros(size)), "b": table_of(np.ones(size)), "c": table_of(np.arange(size))}
    table = agreement_table(seeds_of(tables), settings_of("a", "b", "c", fractions=[0.3]))
    assert table["rank_correlation"].isna().all()
    np.testing.assert_allclose(table["overlap_0.3"], 0.3, atol=0.02)  # standard deviation 0.005


def test_scores_without_a_common_row_or_of_other_lengths_are_refused() -> None:
    apart = {"a": table_of([1, 2], valid=[True, False]), "b": table_of([1, 2], valid=[False, True])}
    with pytest.raises(DataError, match="expected rows that both a and b scored, got none"):
        agreement_table(seeds_of(apart), settings_of("a", "b"))
    with pytest.raises(DataError, match="expected scores of every row of one pool"):
        agreement_table(seeds_of({"a": table_of([1, 2]), "b": table_of([1, 2, 3])}), settings_of("a", "b"))


def test_the_page_gives_the_mean_its_interval_by_fishers_z_and_each_seed() -> None:
    """Five seeds: 2.776 is the t quantile of four degrees of freedom at 97.5 %."""
    generator = np.random.default_rng(0)
    aign = [generator.random(60) for _ in range(5)]
    seeds = seeds_of(
        *({"aign": table_of(x), "margin": table_of(-x + 0.5 * generator.random(60), "easier")} for x in aign)
    )
    settings = settings_of("aign", "margin", fractions=[0.5])
    table = agreement_table(seeds, settings)
    values = table["rank_correlation"]
    z = np.arctanh(values)
    half = 2.7764 * z.std() / math.sqrt(5)
    mean, low, high = np.tanh([z.mean(), z.mean() - half, z.mean() + half])
    page = agreement_page(table, seeds[0], settings)
    assert f"{mean:.3f} [{low:.3f}, {high:.3f}]" in page
    assert ", ".join(f"{value:.3f}" for value in values) in page
    assert "A higher value means an easier row for `margin`. A higher value means a harder row for `aign`." in page
    assert "too few seeds" not in page
    assert "too few seeds" in agreement_page(agreement_table(seeds[:4], settings), seeds[0], settings)


def test_files_are_written_and_equal_scores_give_equal_bytes(
    drawn_twice: Callable[[Callable[[], ReportParts]], dict[str, bytes]],
) -> None:
    generator = np.random.default_rng(0)
    seeds = seeds_of(*({name: table_of(generator.random(200)) for name in ("a", "b", "c")} for _ in range(2)))
    written = drawn_twice(lambda: agreement_parts(seeds, settings_of("a", "b", "c", seed=1)))
    assert b"sources, seed 1" in written["f.md"]
    assert len(written["f.csv"].splitlines()) == 1 + 6
