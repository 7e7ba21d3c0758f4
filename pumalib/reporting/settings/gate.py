"""Settings of the gate: whether a study's threat is one at which PUMA can be told from a smaller epsilon."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from pydantic import model_validator

from pumalib.errors import ConfigError
from pumalib.reporting.checks import expect_margin_score, expect_one_dataset, expect_perturbing
from pumalib.reporting.needs import overlap_of_splits, paths_of, results_on, styles_of
from pumalib.reporting.report_settings import Names, Needs, ReportSettings
from pumalib.reporting.section_settings import Section
from pumalib.reporting.study_view import RunView, StudyFiles, StudyView
from pumalib.settings import Name, Settings


class Gate(Settings):
    """The question that comes first: is the same training at a smaller epsilon better in both accuracies?"""

    run: Name
    """Plain training at the threat's epsilon."""
    weaker: Names
    """The same training at smaller epsilons."""
    attack: Name
    """Attack at the threat, on validation rows."""
    score: Name | None = None
    """Margins whose negatives are counted; null: none are."""

    @model_validator(mode="after")
    def _refuse_itself(self) -> Gate:
        if self.run in self.weaker:
            raise ValueError(f'expected other runs than "{self.run}" under weaker')
        return self


class GateSettings(ReportSettings):
    """The report of the gate; it is made by itself where the study has the key `gate`."""

    section: ClassVar[Section] = "Gate"
    is_of_trainings: ClassVar[bool] = True

    kind: Literal["gate"]
    """Which report this is."""
    question: Gate
    """As the key `gate` has it."""

    def named_runs(self) -> list[tuple[str, str]]:
        """Return plain training and the weaker ones."""
        weaker = [(f"question.weaker[{index}]", run) for index, run in enumerate(self.question.weaker)]
        return [("question.run", self.question.run), *weaker]

    def check(self, study: StudyView, where: str) -> None:
        """Refuse another gate than the study's, runs that differ in more than epsilon, and an attack elsewhere."""
        if study.settings.gate != self.question or where != "reports.gate":
            raise ConfigError(
                f"expected the gate under the key gate alone, got a report of kind gate at {where}; "
                "leave that report out: it is made by itself"
            )
        expect_one_dataset(self, study, "gate")
        _expect_at_the_threat(study, self.question.run, "gate.run")
        for index, run in enumerate(self.question.weaker):
            _expect_weaker(study, self.question.run, run, f"gate.weaker[{index}]")
        expect_perturbing(self, study, self.question.attack, "gate.attack")
        _expect_at_the_threat_on_validation_rows(study, self.question.attack, "gate.attack")
        if self.question.score is not None:
            expect_margin_score(study, self.question.score, "gate.score")
            _expect_margins_of_the_pool(study, self.question, "gate.score")

    def needs(self, study: StudyView, files: StudyFiles) -> Needs:
        """Return the attack tables of its runs on validation rows, and the margins with the pool that they are of."""
        runs, attack = self.runs_needed(study), self.question.attack
        entries = results_on(study, files, runs, [attack])
        margins = [] if self.question.score is None else _margins(study, files, self.question.score)
        paths = paths_of(entries)
        paths += [path for each in margins for path in (each["score"], each["pool"], *each["sources"])]
        arguments = {
            "study": study.name,
            "files": entries,
            "styles": styles_of(study, runs),
            "test_to_train": overlap_of_splits(study, runs[0], "validation"),
            "margins": [{"score": each["score"], "pool": each["pool"]} for each in margins],
        }
        return Needs(paths, arguments)


def _margins(study: StudyView, files: StudyFiles, score: str) -> list[dict[str, str | list[str]]]:
    pool = study.score_pool(score)
    return [
        {"score": files.score(score, seed), "pool": files.pool(pool, seed), "sources": files.pool_sources(pool, seed)}
        for seed in study.settings.seeds
    ]


def _expect_at_the_threat(study: StudyView, run: str, where: str) -> None:
    # Here, where a study is read: the job of the report loads this module too, and its fingerprint has no such module.
    from pumalib.training.kept_epochs import takes_best

    plain, threat = _plain_epsilon(study, run, where), study.settings.threat.epsilon
    if not math.isclose(plain, threat):
        raise ConfigError(f"expected a run at the threat's epsilon {threat!r}, got {run} at {plain!r} at {where}")
    if takes_best(study.trained[run].training):
        raise ConfigError(
            f"expected a run of the last epoch, got {run} with checkpoint: best at {where}, whose epoch validation "
            "rows chose"
        )


def _expect_margins_of_the_pool(study: StudyView, gate: Gate, where: str) -> None:
    pool, scored = study.trained[gate.run].pool, study.score_pool(str(gate.score))
    if scored != pool:
        raise ConfigError(
            f"expected margins of pool {pool}, as that of {gate.run}, got {gate.score} of {scored} at {where}"
        )


def _expect_weaker(study: StudyView, run: str, weaker: str, where: str) -> None:
    """Refuse a run that is not the same training at a smaller fixed epsilon for every row."""
    plain, other = (_plain_epsilon(study, name, where) for name in (run, weaker))
    parts, others = (_what_decides(study.trained[name]) for name in (run, weaker))
    differences = [key for key in parts if parts[key] != others[key]]
    if differences or other >= plain:
        got = f"another {differences[0]}" if differences else f"epsilon {other:g}"
        raise ConfigError(
            f"expected the training of {run} at an epsilon below {plain:g}, got {weaker} with {got} at {where}"
        )


def _what_decides(run: RunView) -> dict[str, object]:
    """Return what two runs share where they differ in epsilon alone; epochs that are kept change no bit of a model."""
    training = run.training.model_copy(update={"keep_every": None})
    return {"pool": run.pool, "architecture": run.architecture, "training": training, "start_from": run.start_from}


def _plain_epsilon(study: StudyView, run: str, where: str) -> float:
    settings = study.trained[run].epsilon
    if settings.policy != "fixed" or settings.where is not None or study.trained[run].prune:
        raise ConfigError(f"expected a run with one epsilon for every row and nothing pruned, got {run} at {where}")
    return study.settings.threat.epsilon if settings.epsilon is None else settings.epsilon


def _expect_at_the_threat_on_validation_rows(study: StudyView, attack: str, where: str) -> None:
    settings, threat = study.settings.attacks[attack], study.settings.threat
    if settings.split != "validation":
        raise ConfigError(
            f"expected an attack on validation rows (split: validation), got {attack} on {settings.split} rows at "
            f"{where}: a gate that looks at test rows tunes on them"
        )
    if (settings.epsilon or threat.epsilon, settings.norm or threat.norm) != (threat.epsilon, threat.norm):
        raise ConfigError(f"expected an attack at the threat, got {attack} with its own epsilon or norm at {where}")
