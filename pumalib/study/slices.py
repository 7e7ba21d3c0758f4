"""The slice of a study that each rule depends on: the settings in its params, and the modules that they name.

A module is named by convention (method ``x`` lives in ``x.py``), so that no import statement mentions it. What a slice
leaves out reruns nothing.
"""

from __future__ import annotations

from typing import Any

from pumalib.abstraction.study import AbstractionStudy
from pumalib.attacks.settings import NOT_THE_ATTACK, attack_module
from pumalib.data.settings import CLASS_GROUPS_MODULE, GeneratedSyntheticSettings, class_tree_of, source_module
from pumalib.learning.settings import TriLevelSettings, learning_module
from pumalib.models.imported_settings import ImportedModelSettings
from pumalib.models.settings import architecture_module
from pumalib.perceptron.study import PerceptronStudy
from pumalib.scores.settings import (
    EXTRAPOLATED_MODULE,
    CustomScoreSettings,
    MarginSettings,
    looks_through_a_model,
    score_module,
    user_module,
)
from pumalib.selection.needed import selection_modules
from pumalib.selection.settings import SelectionSettings
from pumalib.study.runs import ImportedRun, Run
from pumalib.study.study import OWN_REPORTS, Study
from pumalib.synthesis.settings import GUIDED_MODULE, guidance_module, synthetic_module
from pumalib.tracks.passes import passes_of
from pumalib.tracks.settings import quantity_module
from pumalib.training.dynamic.settings import dynamic_module
from pumalib.training.online.settings import OnlineEpsilonSettings, online_module
from pumalib.training.run_settings import RunSettings
from pumalib.training.settings import method_module
from pumalib.training.start_settings import STARTING_WEIGHTS_MODULE

Modules = tuple[str, ...]


def run_settings(study: Study, run: str) -> RunSettings:
    """Return all that a run sets of its training."""
    resolved = study.trained[run]
    return RunSettings(
        architecture=resolved.architecture,
        training=resolved.training,
        threat=study.settings.threat,
        epsilon=resolved.epsilon if isinstance(resolved.epsilon, OnlineEpsilonSettings) else None,
        track=resolved.track,
        repetition=resolved.repetition,
        start_from=resolved.start_from,
    )


def selection_settings(study: Study, run: str) -> SelectionSettings:
    """Return what a run asks of its selection."""
    resolved = study.trained[run]
    return SelectionSettings(
        prune=resolved.prune,
        epsilon=resolved.epsilon,
        threat=study.settings.threat,
        synthetic_fraction=resolved.training.synthetic_fraction,
        far=resolved.far,
        attack_steps=None if resolved.far is None else getattr(resolved.training, "attack_steps", None),
        relabel=resolved.relabel,
    )


def imported_settings(study: Study, run: str) -> ImportedModelSettings:
    """Return what a model trained elsewhere is made from."""
    resolved = study.imported[run]
    return ImportedModelSettings(
        checkpoint=resolved.checkpoint, architecture=resolved.architecture, weights=resolved.weights
    )


def settings_used(study: Study | PerceptronStudy | AbstractionStudy) -> dict[str, Any]:
    """Return what a study used, as JSON holds it: runs merged with their defaults, and nothing that is not set.

    What a run, score or attack leaves to the threat or to the defaults is spelled out. A tracker is left out, so that
    naming one makes no page again.
    """
    used: dict[str, Any] = study.settings.model_dump(mode="json", exclude_none=True)
    used.pop("tracker", None)
    if not isinstance(study, Study):
        return used
    used.pop("defaults")
    for key in OWN_REPORTS:
        if getattr(study.settings, key) is not None:
            used["reports"].pop(key)  # which says the same as the key
    threat = {"norm": study.settings.threat.norm, "epsilon": study.settings.threat.epsilon}
    used["runs"] = {name: _run_used(run, study.settings.threat.epsilon) for name, run in study.runs.items()}
    used["attacks"] = {name: {**threat, **attack} for name, attack in used["attacks"].items()}
    for name, score in study.settings.scores.items():
        used["scores"][name]["pool"] = study.score_pool(name)
        if isinstance(score, MarginSettings):
            used["scores"][name].setdefault("norm", threat["norm"])
    return used


def _run_used(run: Run | ImportedRun, epsilon: float) -> dict[str, Any]:
    used: dict[str, Any] = run.model_dump(mode="json", exclude_none=True)
    if isinstance(run, ImportedRun):
        return used
    if run.training.has_attack and not isinstance(run.epsilon, OnlineEpsilonSettings):
        left_to_the_threat = {"epsilon", "cap"} & set(type(run.epsilon).model_fields)
        used["epsilon"] |= {key: epsilon for key in left_to_the_threat if getattr(run.epsilon, key) is None}
    return used


def architecture_of(study: Study, run: str | None) -> dict[str, Any] | None:
    """Return the architecture of a run's model, which whoever reads its weights holds them to; None: no run's."""
    return None if run is None else study.runs[run].architecture.model_dump()


def attack_settings(study: Study, attack: str) -> dict[str, object]:
    """Return the settings of an attack that change its numbers."""
    return study.settings.attacks[attack].model_dump(exclude=set(NOT_THE_ATTACK))


def dataset_code(study: Study, dataset: str) -> Modules:
    """Return the modules that a dataset names: its source, and what puts its classes in groups."""
    settings = study.settings.datasets[dataset]
    groups = () if class_tree_of(settings) is None else (CLASS_GROUPS_MODULE,)
    return (source_module(settings.source), *groups)


def synthetic_code(study: Study, pool: str) -> Modules:
    """Return the modules that the synthetic set of a pool names: its method, how it is guided and by which network."""
    synthetic, guide = study.settings.pools[pool].synthetic, study.settings.pools[pool].guide
    named = () if synthetic is None else (synthetic_module(synthetic.method),)
    if guide is None or not isinstance(synthetic, GeneratedSyntheticSettings) or synthetic.guidance is None:
        return named
    network = architecture_module(study.runs[guide].architecture.name)
    return (*named, GUIDED_MODULE, guidance_module(synthetic.guidance.method), network)


def learning_code(study: Study, pool: str) -> Modules:
    """Return the modules that a learned pool names: its method, and the networks that it is learned on or through."""
    learned = study.settings.pools[pool].learned
    if learned is None:
        return ()
    if isinstance(learned, TriLevelSettings):
        networks = learned.architectures
    else:
        networks = (study.runs[learned.model].architecture,)
    return (learning_module(learned.method), *{architecture_module(network.name): None for network in networks})


def selection_code(study: Study, run: str) -> Modules:
    """Return the modules that the selection of a run names."""
    resolved = study.trained[run]
    return selection_modules(resolved.prune, resolved.epsilon, resolved.far, resolved.relabel)


def model_code(study: Study, run: str) -> Modules:
    """Return the modules that a training names: method, network, tracked quantities, policies and start."""
    resolved = study.trained[run]
    named = [method_module(resolved.training.method), architecture_module(resolved.architecture.name)]
    named += map(quantity_module, passes_of(resolved.track))
    if isinstance(resolved.epsilon, OnlineEpsilonSettings):
        named.append(online_module(resolved.epsilon.policy))
    if resolved.training.dynamic_pruning is not None:
        named.append(dynamic_module(resolved.training.dynamic_pruning.method))
    if resolved.start_from is not None:
        named.append(STARTING_WEIGHTS_MODULE)
    return tuple(named)


def imported_code(study: Study, run: str) -> Modules:
    """Return the modules that a model trained elsewhere names: its network."""
    return (architecture_module(study.imported[run].architecture.name),)


def score_code(study: Study, score: str) -> Modules:
    """Return the modules that a score names: its method, a user's own, and the network looked through if known."""
    settings = study.settings.scores[score]
    named = [score_module(settings)]
    if isinstance(settings, CustomScoreSettings):
        named.append(user_module(settings))
    if getattr(settings, "extrapolate", None) is not None:
        named.append(EXTRAPOLATED_MODULE)
    model = getattr(settings, "model", None) if looks_through_a_model(settings) else None
    if model is not None:
        architecture = study.runs[model.run].architecture if model.run else model.architecture
        named += [architecture_module(architecture.name)] if architecture else []
    return tuple(named)


def attack_code(study: Study, run: str, attack: str) -> Modules:
    """Return the modules that an attack on a run names."""
    method, architecture = study.settings.attacks[attack].method, study.runs[run].architecture.name
    return attack_module(method), architecture_module(architecture)
