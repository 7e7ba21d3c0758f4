"""Checks of runs: their pools, cuts, epsilons and devices. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from pumalib.errors import ConfigError
from pumalib.scores.settings import MarginSettings
from pumalib.selection.needed import drops_negative
from pumalib.selection.own_rule import load_rule
from pumalib.selection.settings import (
    RANDOM,
    CutSettings,
    FarSettings,
    FixedEpsilon,
    FromMargin,
    OwnRuleSettings,
    PruneSettings,
)
from pumalib.study.names import expect_name
from pumalib.study.study import Study
from pumalib.training.online.settings import CatEpsilon, IaatEpsilon, OnlineEpsilonSettings
from pumalib.training.settings import AttackedRecipeSettings


def check_runs(study: Study) -> None:
    """Refuse runs that name what is not there, or what does not fit them.

    Raises:
        ConfigError: the first problem found.
    """
    for name, imported in study.imported.items():
        _expect_file(imported.checkpoint, f"runs.{name}.checkpoint")
    for name, run in study.trained.items():
        where = f"runs.{name}"
        for index, cut in enumerate(run.prune):
            _check_cut(study, name, cut, f"{where}.prune[{index}]")
        _check_devices(study, name)
        _check_start(study, name)
        _check_epsilon(study, name)
        _check_attacked_rows(study, name)
        _check_dynamic_pruning(study, name)
        _check_relabel(study, name)


def _check_cut(study: Study, run: str, cut: PruneSettings, where: str) -> None:
    """Refuse scores that are not there or of another pool, and rules of one's own that are not there."""
    if isinstance(cut, CutSettings):
        if cut.by != RANDOM:
            _expect_score(study, run, cut.by, f"{where}.by", also=(RANDOM,))
        if cut.ties_by is not None:
            _expect_score(study, run, cut.ties_by, f"{where}.ties_by")
        return
    for score in cut.scores:
        _expect_score(study, run, score, f"{where}.by")
    if isinstance(cut, OwnRuleSettings):
        try:
            load_rule(cut)
        except ConfigError as error:
            raise ConfigError(f"{error} at {where}.rule") from None


def expect_pools(study: Study) -> None:
    """Refuse runs on pools that are not there.

    Raises:
        ConfigError: the first one found.
    """
    for name, run in study.runs.items():
        expect_name(run.pool, study.settings.pools, "pool", f"runs.{name}.pool")


def _expect_score(study: Study, run: str, score: str, where: str, also: tuple[str, ...] = ()) -> None:
    expect_name(score, [*study.settings.scores, *also], "score", where)
    if study.score_pool(score) != study.runs[run].pool:
        raise ConfigError(
            f"expected a score of pool {study.runs[run].pool}, got {score}, a score of pool {study.score_pool(score)}, "
            f"at {where}"
        )


def _check_start(study: Study, name: str) -> None:
    """Refuse weights that are not there, or of another network; a checkpoint is opened by the job, and `puma check`."""
    run, where = study.trained[name], f"runs.{name}.start_from"
    if run.start_from is None:
        return
    if run.start_from.checkpoint is not None:
        _expect_file(run.start_from.checkpoint, f"{where}.checkpoint")
        return
    study.expect("run", str(run.start_from.run), where)
    trained_on, dataset = study.dataset_of_run(str(run.start_from.run)), study.dataset_of_run(name)
    if trained_on != dataset:
        raise ConfigError(
            f"expected a run on dataset {dataset}, as {name} is, got {run.start_from.run}, trained on {trained_on}, "
            f"which may hold rows that {dataset} tests on, at {where}"
        )
    other = study.runs[str(run.start_from.run)].architecture
    if other != run.architecture:
        raise ConfigError(
            f"expected a run of the architecture of {name} ({run.architecture.name}), got {run.start_from.run} "
            f"({other.name}{'' if other.name != run.architecture.name else ' with other settings'}) at {where}"
        )


def _expect_file(checkpoint: str, where: str) -> None:
    if not Path(checkpoint).is_file():
        raise ConfigError(f"expected a file, found none at {checkpoint}, named at {where}")


def _check_devices(study: Study, name: str) -> None:
    training, where = study.trained[name].training, f"runs.{name}.training.devices"
    count = training.devices * training.nodes
    told = str(count) if training.nodes == 1 else f"{training.devices} on each of {training.nodes} nodes"
    if count > training.batch_size:
        raise ConfigError(
            f"expected devices of at most the batch_size {training.batch_size}, a row each, got {told} at {where}; "
            "lower it"
        )
    if count > 1 and training.compile:
        raise ConfigError(
            f"expected devices 1 with compile, which does not work over several, got {told} at {where}; "
            "leave one of them out"
        )


def _check_epsilon(study: Study, name: str) -> None:
    run, where = study.trained[name], f"runs.{name}.epsilon"
    if not run.training.has_attack and run.epsilon != FixedEpsilon():
        raise ConfigError(f"expected no epsilon with natural training, got policy {run.epsilon.policy} at {where}")
    if isinstance(run.epsilon, OnlineEpsilonSettings):
        _check_warmup(run.epsilon, run.training.epochs, where)
        return
    if run.epsilon.where is not None:
        _expect_score(study, name, run.epsilon.where.score, f"{where}.where.score")
    if isinstance(run.epsilon, FromMargin):
        _check_margin_score(study, name, run.epsilon.score, f"{where}.score")
    elif (score := getattr(run.epsilon, "score", None)) is not None:
        _expect_score(study, name, score, f"{where}.score")


def _check_attacked_rows(study: Study, name: str) -> None:
    """Refuse fewer attacks than one per row where a policy attacks every row itself, or where there is none."""
    run, where = study.trained[name], f"runs.{name}"
    selective, far = getattr(run.training, "selective", None), run.far
    if selective is None and far is None:
        return
    what, place = ("far", f"{where}.far") if far is not None else ("selective", f"{where}.training.selective")
    if not isinstance(run.training, AttackedRecipeSettings):
        raise ConfigError(f"expected no {what} with {run.training.method} training, which attacks no row, at {place}")
    if isinstance(run.epsilon, OnlineEpsilonSettings) or (far is not None and selective is not None):
        other = f"policy {run.epsilon.policy}" if isinstance(run.epsilon, OnlineEpsilonSettings) else "selective"
        raise ConfigError(
            f"expected no {other} beside {what}: both say how rows are attacked, at {place}; leave one out"
        )
    if run.training.attack_statistics != "running":
        raise ConfigError(
            f"expected attack_statistics running beside {what}, got {run.training.attack_statistics}: "
            "statistics of the rows attacked alone would be others, "
            f"at {where}.training.attack_statistics"
        )
    if far is not None:
        _check_far(study, name, far, place)
    elif selective is not None and selective.warmup_epochs >= run.training.epochs:
        raise ConfigError(
            f"expected warmup_epochs below the {run.training.epochs} epochs of training, got {selective.warmup_epochs} "
            f"at {place}.warmup_epochs, which would look at no margin; lower it"
        )


def _check_dynamic_pruning(study: Study, name: str) -> None:
    """Refuse rows left out of single epochs beside a policy that drops rows too, or in no epoch."""
    run, where = study.trained[name], f"runs.{name}.training.dynamic_pruning"
    pruning = run.training.dynamic_pruning
    if pruning is None:
        return
    if isinstance(run.epsilon, OnlineEpsilonSettings):
        raise ConfigError(
            f"expected no policy {run.epsilon.policy} beside dynamic_pruning, whose weights it does not know, "
            f"at {where}; leave one out"
        )
    if int(pruning.until * run.training.epochs) < 2:
        raise ConfigError(
            f"expected until to reach the second epoch, the first that knows losses, got {pruning.until:g} of "
            f"{run.training.epochs} epochs at {where}.until, which would leave nothing out; raise it"
        )


def _check_relabel(study: Study, name: str) -> None:
    """Refuse new labels by no margin, or for rows that are pruned because of the old ones."""
    run, where = study.trained[name], f"runs.{name}.relabel"
    if run.relabel is None:
        return
    _check_margin_score(study, name, run.relabel.score, f"{where}.score")
    if drops_negative(run.epsilon):
        raise ConfigError(
            f"expected no negative: drop beside relabel, which keeps such rows, at {where}; leave one out"
        )


def _check_far(study: Study, name: str, far: FarSettings, where: str) -> None:
    steps = getattr(study.trained[name].training, "attack_steps", 0)
    if far.steps >= steps:
        raise ConfigError(
            f"expected fewer steps than the attack_steps {steps} of other rows, got {far.steps} at {where}.steps"
        )
    _check_margin_score(study, name, far.score, f"{where}.score")


def _check_warmup(policy: OnlineEpsilonSettings, epochs: int, where: str) -> None:
    """Refuse a warm-up as long as the training: what should follow it would never come."""
    if (
        isinstance(policy, CatEpsilon)
        or policy.warmup_epochs < epochs
        or (not isinstance(policy, IaatEpsilon) and policy.prune_above is None)
    ):
        return
    what = "move no epsilon" if isinstance(policy, IaatEpsilon) else "drop no row"
    raise ConfigError(
        f"expected warmup_epochs below the {epochs} epochs of training, got {policy.warmup_epochs} at "
        f"{where}.warmup_epochs, which would {what}; lower it"
    )


def _check_margin_score(study: Study, run: str, name: str, where: str) -> None:
    _expect_score(study, run, name, where)
    score = study.settings.scores[name]
    if not isinstance(score, MarginSettings):
        raise ConfigError(f"expected a margin score, got {name} ({score.method}) at {where}")
    norm = score.norm or study.settings.threat.norm
    if norm != study.settings.threat.norm:
        raise ConfigError(
            f"expected margins in the threat's norm {study.settings.threat.norm}, got {norm} from score "
            f"{name} at {where}"
        )
