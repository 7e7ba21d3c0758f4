"""Checks that need more than one key of a study: names, files, shapes, norms and cycles. Imports no torch."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from pumalib.attacks.settings import expect_attack_packages
from pumalib.data.settings import (
    TORCHVISION_SHAPES,
    FolderSettings,
    HeldOutSyntheticSettings,
    NpzDatasetSettings,
    NpzSyntheticSettings,
)
from pumalib.data.sources.npz import npz_image_shape
from pumalib.errors import ConfigError, DataError
from pumalib.models.settings import check_architecture
from pumalib.scores.functions import load_function
from pumalib.scores.settings import CustomScoreSettings, MarginSettings, ModelReference, RandomSettings, TrackedScore
from pumalib.selection.settings import RANDOM, FixedEpsilon, FromMargin
from pumalib.setting_errors import expect_name
from pumalib.study.check_pools import check_learned_pools, check_starts
from pumalib.study.check_reports import check_reports
from pumalib.study.check_tracks import check_one_pool, check_tracks
from pumalib.study.study import Study
from pumalib.training.online.settings import IaatEpsilon, OnlineEpsilonSettings

ImageShape = tuple[int, int, int]

TARGETS = frozenset(
    {
        "all",
        "dataset",
        "generator",
        "synthetic",
        "learn_dataset",
        "pool",
        "selection",
        "model",
        "score_shard",
        "score",
        "tracked_score",
        "attack",
        "results",
        "page",
    }
)
"""Names of the workflow's rules: a report is a target too, so it cannot have one of these."""

RESERVED_NAMES = {
    "reports": (TARGETS, "a target of the workflow"),
    "scores": (frozenset({RANDOM}), "the random cut"),
    "attacks": (frozenset({"none"}), "no attack at all in results.csv"),
}
"""Names that mean something else already, by group."""


def check_study(study: Study, origin: str = "config") -> None:
    """Refuse a study that could only fail later.

    Raises:
        ConfigError: the first problem found, with the key's path, what came and what was expected.
    """
    try:
        _check_reserved_names(study)
        shapes = {name: _check_dataset(study, name) for name in study.settings.datasets}
        _check_pools(study, shapes)
        _check_score_pools(study)
        _check_runs(study, shapes)
        check_learned_pools(study, shapes)
        _check_scores(study, shapes)
        check_tracks(study)
        _check_cycles(study)
        _check_attacks(study)
        check_reports(study)
    except ConfigError as error:
        raise ConfigError(f"{error} ({origin})") from None


def _check_reserved_names(study: Study) -> None:
    for group, (reserved, meaning) in RESERVED_NAMES.items():
        for name in getattr(study.settings, group):
            if name in reserved:
                raise ConfigError(f'expected another name than "{name}", which is {meaning}, at {group}')


def _expect_file(path: str, where: str, is_folder: bool = False) -> None:
    exists = Path(path).is_dir() if is_folder else Path(path).is_file()
    if not exists:
        raise ConfigError(f"expected a {'folder' if is_folder else 'file'}, found none at {path}, named at {where}")


def _check_dataset(study: Study, name: str) -> tuple[ImageShape, int | None]:
    """Return (H, W, C) and the number of classes, None where only the files can tell."""
    settings = study.settings.datasets[name]
    where = f"datasets.{name}"
    if isinstance(settings, NpzDatasetSettings):
        for key, path in (("train", settings.train), ("test", settings.test)):
            if path is not None:
                _expect_file(path, f"{where}.{key}")
        _, shape, num_classes = _read_npz(settings.train, f"{where}.train")
        if settings.test is not None:
            _, test_shape, _ = _read_npz(settings.test, f"{where}.test")
            _expect_shape(test_shape, shape, settings.train, f"{where}.test")
        return shape, len(settings.class_names) if settings.class_names else num_classes
    if isinstance(settings, FolderSettings):
        _expect_file(settings.path, f"{where}.path", is_folder=True)
        return (settings.image_size, settings.image_size, settings.channels), None
    return TORCHVISION_SHAPES.get(settings.source, ((8, 8, 1), 10))


def _read_npz(path: str, where: str) -> tuple[int, ImageShape, int]:
    """Return the number of images, (H, W, C) and the number of classes."""
    try:
        shape, num_classes = npz_image_shape(path)
    except DataError as error:
        raise ConfigError(f"{error}, named at {where}") from None
    return shape[0], (shape[1], shape[2], shape[3]), num_classes


def _expect_shape(shape: ImageShape, expected: ImageShape, like: str, where: str) -> None:
    if shape != expected:
        raise ConfigError(f"expected images of shape {expected}, as in {like}, got {shape} at {where}")


def _check_pools(study: Study, shapes: dict[str, tuple[ImageShape, int | None]]) -> None:
    settings = study.settings
    for name, generator in settings.generators.items():
        expect_name(generator.dataset, settings.datasets, "dataset", f"generators.{name}.dataset")
    check_starts(study)
    for name, pool in settings.pools.items():
        where = f"pools.{name}"
        if pool.dataset is None:
            continue
        expect_name(pool.dataset, settings.datasets, "dataset", f"{where}.dataset")
        synthetic = pool.synthetic
        if isinstance(synthetic, NpzSyntheticSettings):
            _check_npz_pool(pool.dataset, synthetic, shapes[pool.dataset], f"{where}.synthetic")
        elif isinstance(synthetic, HeldOutSyntheticSettings):
            if settings.datasets[pool.dataset].held_out_fraction == 0:
                raise ConfigError(
                    f"expected held_out_fraction above 0 in datasets.{pool.dataset} for {where}.synthetic, got 0"
                )
        elif synthetic is not None:
            expect_name(synthetic.generator, settings.generators, "generator", f"{where}.synthetic.generator")
            trained_on = settings.generators[synthetic.generator].dataset
            if trained_on != pool.dataset:
                raise ConfigError(
                    f"expected a generator trained on {pool.dataset}, the pool's dataset, got {synthetic.generator}, "
                    f"trained on {trained_on}, at {where}.synthetic.generator"
                )


def _check_npz_pool(
    dataset: str, synthetic: NpzSyntheticSettings, expected: tuple[ImageShape, int | None], where: str
) -> None:
    _expect_file(synthetic.path, f"{where}.path")
    count, shape, num_classes = _read_npz(synthetic.path, f"{where}.path")
    _expect_shape(shape, expected[0], f"dataset {dataset}", f"{where}.path")
    if expected[1] is not None and num_classes > expected[1]:
        raise ConfigError(
            f"expected labels in [0, {expected[1]}), the classes of dataset {dataset}, got {num_classes - 1} "
            f"in {synthetic.path} at {where}.path"
        )
    if synthetic.count is not None and synthetic.count > count:
        raise ConfigError(
            f"expected a count of at most {count}, the rows of {synthetic.path}, got {synthetic.count} at {where}.count"
        )


def _check_runs(study: Study, shapes: dict[str, tuple[ImageShape, int | None]]) -> None:
    for name, run in study.runs.items():
        where = f"runs.{name}"
        expect_name(run.pool, study.settings.pools, "pool", f"{where}.pool")
        shape, num_classes = shapes[study.dataset_of_run(name)]
        try:
            check_architecture(run.architecture, shape, num_classes or 2)
        except ConfigError as error:
            raise ConfigError(f"{error} at {where}.architecture") from None
        for index, cut in enumerate(run.prune):
            if cut.by != RANDOM:
                _expect_score(study, name, cut.by, f"{where}.prune[{index}].by", also=(RANDOM,))
        _check_devices(study, name)
        _check_epsilon(study, name)


def _expect_score(study: Study, run: str, score: str, where: str, also: tuple[str, ...] = ()) -> None:
    expect_name(score, [*study.settings.scores, *also], "score", where)
    if study.score_pool(score) != study.runs[run].pool:
        raise ConfigError(
            f"expected a score of pool {study.runs[run].pool}, got {score}, a score of pool {study.score_pool(score)}, "
            f"at {where}"
        )


def _check_devices(study: Study, name: str) -> None:
    training, where = study.runs[name].training, f"runs.{name}.training.devices"
    if training.devices > training.batch_size:
        raise ConfigError(
            f"expected devices of at most the batch_size {training.batch_size}, a row each, got {training.devices} at "
            f"{where}; lower it"
        )
    if training.devices > 1 and training.compile:
        raise ConfigError(
            f"expected devices 1 with compile, which does not work over several, got {training.devices} at {where}; "
            "leave one of them out"
        )


def _check_epsilon(study: Study, name: str) -> None:
    run, where = study.runs[name], f"runs.{name}.epsilon"
    if run.training.method == "natural" and run.epsilon != FixedEpsilon():
        raise ConfigError(f"expected no epsilon with natural training, got policy {run.epsilon.policy} at {where}")
    if isinstance(run.epsilon, OnlineEpsilonSettings):
        _check_warmup(run.epsilon, run.training.epochs, where)
        return
    if run.epsilon.where is not None:
        _expect_score(study, name, run.epsilon.where.score, f"{where}.where.score")
    if isinstance(run.epsilon, FromMargin):
        _check_margin_score(study, name, run.epsilon.score, f"{where}.score")


def _check_warmup(policy: OnlineEpsilonSettings, epochs: int, where: str) -> None:
    """Refuse a warm-up as long as the training: what should follow it would never come."""
    if policy.warmup_epochs < epochs or (not isinstance(policy, IaatEpsilon) and policy.prune_above is None):
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


def _check_score_pools(study: Study) -> None:
    for name, score in study.settings.scores.items():
        if isinstance(score, TrackedScore):
            for run in score.tracked:
                expect_name(run, study.runs, "run", f"scores.{name}.tracked")
            check_one_pool(study, score, f"scores.{name}")
        else:
            expect_name(study.score_pool(name), study.settings.pools, "pool", f"scores.{name}.pool")


def _check_function(score: CustomScoreSettings, where: str) -> None:
    try:
        load_function(score)
    except ConfigError as error:
        raise ConfigError(f"{error} at {where}") from None


def _check_scores(study: Study, shapes: dict[str, tuple[ImageShape, int | None]]) -> None:
    for name, score in study.settings.scores.items():
        where = f"scores.{name}"
        if isinstance(score, TrackedScore | RandomSettings):
            continue
        if isinstance(score, CustomScoreSettings):
            _check_function(score, f"{where}.method")
        if score.model.checkpoint is not None:
            _expect_file(score.model.checkpoint, f"{where}.model.checkpoint")
            dataset = study.dataset_of_pool(study.score_pool(name))
            _check_scored_architecture(score.model, shapes[dataset], f"{where}.model.architecture")
            continue
        run = score.model.run or ""
        expect_name(run, study.runs, "run", f"{where}.model")
        _check_model_seed(study, score.model, f"{where}.model.seed")
        scored = shapes[study.dataset_of_pool(study.score_pool(name))]
        if shapes[study.dataset_of_run(run)] != scored:
            raise ConfigError(
                f"expected a model of images {scored[0]}, as in pool {study.score_pool(name)}, got run {run}, trained "
                f"on {shapes[study.dataset_of_run(run)][0]}, at {where}.model"
            )


def _check_scored_architecture(reference: ModelReference, images: tuple[ImageShape, int | None], where: str) -> None:
    """Refuse the network of an imported checkpoint if it cannot take the images it is to look at."""
    if reference.architecture is None:
        return
    shape, num_classes = images
    try:
        check_architecture(reference.architecture, shape, num_classes or 2)
    except ConfigError as error:
        raise ConfigError(f"{error} at {where}") from None


def _check_model_seed(study: Study, reference: ModelReference, where: str) -> None:
    """Refuse a seed that has no model, or whose model was trained on rows that another seed tests on."""
    if reference.seed is None or reference.run is None:
        return
    if reference.seed not in study.settings.seeds:
        raise ConfigError(f"expected a seed among {list(study.settings.seeds)}, got {reference.seed} at {where}")
    dataset = study.dataset_of_run(reference.run)
    if len(study.settings.seeds) > 1 and study.settings.datasets[dataset].is_seeded:
        raise ConfigError(
            f"expected the model of each seed's own split, got seed {reference.seed} for all seeds: dataset {dataset} "
            f"is divided anew for each seed, so that model has seen test rows of the others; leave seed out at {where}"
        )


def _check_cycles(study: Study) -> None:
    graph: dict[str, list[str]] = {}
    for name, run in study.runs.items():
        graph[f"runs.{name}"] = [f"pools.{run.pool}", *(f"scores.{score}" for score in run.scores)]
    for name in study.settings.pools:
        graph[f"pools.{name}"] = [f"runs.{run}" for run in study.models_behind_pool(name)]
    for name in study.settings.scores:
        graph[f"scores.{name}"] = [f"runs.{run}" for run, _ in study.runs_behind(name, study.settings.seeds[0])]
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle = " -> ".join(reversed(error.args[1]))
        raise ConfigError(
            f"expected runs, scores and pools without a cycle, got {cycle}; train the model they look through first"
        ) from None


def _check_attacks(study: Study) -> None:
    for name, attack in study.settings.attacks.items():
        norm = study.settings.threat.norm
        if attack.norm is not None and attack.norm != norm:
            raise ConfigError(f"expected the threat's norm {norm}, got {attack.norm} at attacks.{name}.norm")
        if attack.method == "square" and norm != "linf":
            raise ConfigError(
                f"expected another attack for norm {norm}, got square, which is for linf, at attacks.{name}"
            )
        expect_attack_packages(attack.method, f"attacks.{name}")
        for index, run in enumerate(attack.runs or ()):
            expect_name(run, study.runs, "run", f"attacks.{name}.runs[{index}]")
        if attack.split == "validation":
            for run in attack.runs or study.runs:
                dataset = study.dataset_of_run(run)
                if study.settings.datasets[dataset].validation_fraction == 0:
                    raise ConfigError(
                        f"expected validation_fraction above 0 in datasets.{dataset} for attacks.{name}.split, got 0"
                    )
    for run in study.runs:
        if not study.attacks_of(run):
            raise ConfigError(
                f"expected each run under an attack at least, got {run} under none; add it to attacks.<attack>.runs"
            )
