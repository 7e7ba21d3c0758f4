"""Checks that the settings of several kinds of report share: attacks, scores and pools that fit."""

from __future__ import annotations

from pumalib.errors import ConfigError
from pumalib.reporting.needs import split_of_report, splits_of_run
from pumalib.reporting.report_settings import ReportSettings
from pumalib.reporting.study_view import StudyView
from pumalib.scores.settings import MarginSettings


def expect_perturbing(report: ReportSettings, study: StudyView, attack: str, where: str) -> None:
    """Refuse an attack that measures clean accuracy alone, or leaves out a run of the report."""
    refuse_clean(study, attack, where)
    expect_on_every_run(report, study, attack, where)


def refuse_clean(study: StudyView, attack: str, where: str) -> None:
    """Refuse an attack that is not there, or measures clean accuracy alone."""
    study.expect("attack", attack, where)
    if study.settings.attacks[attack].method == "clean":
        raise ConfigError(
            f"expected an attack that perturbs, got {attack}, which measures clean accuracy alone, at {where}"
        )


def refuse_worst_of(study: StudyView, attack: str, where: str) -> None:
    """Refuse a worst case over attacks, which is made for models and not for the epochs that runs kept."""
    if study.settings.attacks[attack].method == "worst_of":
        raise ConfigError(
            f"expected an attack on kept epochs, got {attack}, a worst_of, which is made for models alone, at {where}; "
            "name one of its attacks"
        )


def expect_on_every_run(report: ReportSettings, study: StudyView, attack: str, where: str) -> None:
    """Refuse an attack that leaves out a run of the report."""
    for run in report.runs_needed(study):
        if attack not in study.attacks_of(run):
            raise ConfigError(
                f"expected an attack on every run of the report, got {attack}, which leaves {run} out, at {where}; "
                f"add {run} to attacks.{attack}.runs"
            )


def expect_one_dataset(report: ReportSettings, study: StudyView, where: str) -> None:
    """Refuse numbers of one figure or table that were measured on different images."""
    runs = report.runs_needed(study)
    first = study.dataset_of_run(runs[0])
    for run in runs:
        if study.dataset_of_run(run) != first:
            raise ConfigError(
                f"expected runs of one dataset, got {runs[0]} on {first} and {run} on {study.dataset_of_run(run)} "
                f"at {where}; make a report for each dataset"
            )


def expect_one_split(report: ReportSettings, study: StudyView, where: str) -> None:
    """Refuse attacks on several splits, and a run without an attack on the split that the report is about."""
    attacks = report.named_attacks()
    splits = {name: study.settings.attacks[name].split for name in attacks}
    if len(set(splits.values())) > 1:
        told = ", ".join(f"{name} on {split} rows" for name, split in splits.items())
        raise ConfigError(f"expected attacks on one split, got {told} at {where}; make a report for each")
    runs = report.runs_needed(study)
    split = split_of_report(study, runs, attacks)
    for run in runs:
        if split not in splits_of_run(study, run):
            raise ConfigError(
                f"expected an attack on test rows for every run of the report, or on validation rows for every one, "
                f"got none on {split} rows for {run} at {where}"
            )


def expect_margin_score(study: StudyView, score: str, where: str) -> None:
    """Refuse a score that is not there, or is no margin."""
    study.expect("score", score, where)
    if not isinstance(study.settings.scores[score], MarginSettings):
        raise ConfigError(f"expected a margin score, got {score} at {where}")


def expect_whole_scores(study: StudyView, score: str, where: str) -> None:
    """Refuse a score that stops at a distance: what is drawn or ranked are numbers that it leaves open."""
    up_to = getattr(study.settings.scores[score], "up_to", None)
    if up_to is not None:
        raise ConfigError(
            f"expected a score that is measured to its end, got {score}, which stops at up_to {up_to:g}, at {where}; "
            f"leave up_to out at scores.{score}, or name another score"
        )


def expect_same_pool(study: StudyView, score: str, first: str, where: str) -> None:
    """Refuse a score of another pool than that of the first."""
    pool = study.score_pool(first)
    if study.score_pool(score) != pool:
        raise ConfigError(
            f"expected a score of pool {pool}, as {first} is, got {score}, a score of pool "
            f"{study.score_pool(score)}, at {where}"
        )


def expect_second_model(study: StudyView, score: str, where: str) -> None:
    """Refuse a score that is no whole margin of a pool with synthetic rows by a model that is apart from them.

    Such a second model measures samples: it learned from real rows alone, and had no part in making them.
    Refused are a model that conditioned the generator or guided it; one that these depend on, or that depends on them;
    another run of the very same training; and one that has learned from rows other than real ones.

    Raises:
        ConfigError: the first problem found.
    """
    expect_margin_score(study, score, where)
    expect_whole_scores(study, score, where)
    pool = study.score_pool(score)
    if study.settings.pools[pool].synthetic is None:
        raise ConfigError(
            f"expected a score of a pool with synthetic rows, got {score}, of pool {pool}, at {where}; score such a "
            "pool"
        )
    settings = study.settings.scores[score]
    assert isinstance(settings, MarginSettings)
    run, checkpoint = settings.model.run, settings.model.checkpoint
    runs, checkpoints = study.behind_samples(pool, study.settings.seeds[0])
    if run is None:
        _refuse_checkpoint(checkpoint, checkpoints, pool, where)
        return
    _refuse_origin(study, run, pool, where)
    if run in study.imported:
        _refuse_checkpoint(study.imported[run].checkpoint, checkpoints, pool, where)
    _refuse_part(study, run, runs, pool, where)


def _refuse_checkpoint(checkpoint: str | None, checkpoints: list[str], pool: str, where: str) -> None:
    if checkpoint in checkpoints:
        raise ConfigError(
            f"expected a model that neither conditioned nor guided the samples of pool {pool}, got {checkpoint}, which "
            f"did, at {where}; score the pool through another model"
        )


def _refuse_origin(study: StudyView, run: str, pool: str, where: str) -> None:
    """Refuse a run on another dataset, and one that has learned from generated or learned rows, directly or not."""
    dataset, trained_on = study.dataset_of_pool(pool), study.dataset_of_run(run)
    if trained_on != dataset:
        raise ConfigError(
            f"expected a model of dataset {dataset}, as pool {pool} is, got {run}, trained on {trained_on}, at {where}"
        )
    if run in study.imported:
        return
    for each in (run, *_behind(study, run)):
        if each in study.imported:
            continue
        own = study.runs[each].pool
        if study.settings.pools[own].synthetic is not None or study.settings.pools[own].dataset is None:
            through = "" if each == run else f", which depends on {each}"
            raise ConfigError(
                f"expected a model of real rows alone, got {run}{through}, trained on pool {own}, at {where}; train a "
                "run on a pool without synthetic and learned rows"
            )


def _behind(study: StudyView, run: str) -> list[str]:
    return [name for name, _ in study.behind_run(run, study.settings.seeds[0])[0]]


def _refuse_part(study: StudyView, run: str, makers: list[str], pool: str, where: str) -> None:
    """Refuse a run that had a part in the samples, or shares its weights or a model behind it with one that had."""
    for maker in makers:
        reason = "which had a part in them"
        if run != maker:
            reason = f"which is the same training as {maker}" if study.are_one_model(run, maker) else ""
            reason = f"which depends on {maker}" if maker in _behind(study, run) else reason
        if reason:
            raise ConfigError(
                f"expected a model that neither conditioned nor guided the samples of pool {pool}, got {run}, "
                f"{reason}, at {where}; train another run on the real rows, of another architecture or repetition"
            )


def expect_same_measure(study: StudyView, score: str, first: str, where: str) -> None:
    """Refuse a score that is not measured as the first is, by the same model, in all but the pool.

    Raises:
        ConfigError: with both.
    """
    measures = [_measure(study, each) for each in (score, first)]
    if measures[0] != measures[1]:
        key = next(key for key in {**measures[0], **measures[1]} if measures[0].get(key) != measures[1].get(key))
        raise ConfigError(
            f"expected margins measured as those of {first} are, got {score}, with another {key}, at {where}; give "
            "both scores the same settings but pool"
        )


def _measure(study: StudyView, score: str) -> dict[str, object]:
    settings = study.settings.scores[score]
    return settings.model_dump(exclude={"pool", "shards", "batch_size"})
