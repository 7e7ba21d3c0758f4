"""The bytes that the files of a study take on disk, and those that its jobs take in memory: by formula, from shapes."""

from __future__ import annotations

from pumalib.attacks.inputs import images_a_batch
from pumalib.models.build import build_model
from pumalib.models.settings import ArchitectureSettings
from pumalib.models.size import NetworkSize, size_of
from pumalib.planning.images import Images
from pumalib.planning.jobs import PlannedJob
from pumalib.planning.shapes import StudyShapes
from pumalib.study.slices import run_settings
from pumalib.synthesis.edm import build_denoiser
from pumalib.tracks.passes import epochs_of, passes_of
from pumalib.training.kept_epochs import kept_epochs

_LABEL, _SOURCE, _FLOAT = 8, 1, 4
_SCORED, _SELECTED, _ATTACKED = 46, 14, 37
"""Bytes of a row: of a score of margins, of a selection (8 more where it is kept), of an attack."""
_HEADER, _REPORT, _LOGS = 12_000, 250_000, 3_000
"""Bytes of a file's header, of the forms of a report, and of a job's log, about."""
_LIBRARIES = {"torch": 580e6, "training": 740e6, "other": 200e6}
"""Memory of a process that has loaded what a job imports, measured on Linux with torch 2.15 for CPUs."""


def network_size(architecture: ArchitectureSettings, images: Images) -> NetworkSize:
    """Return the size of a network."""
    return size_of(build_model(architecture, images.shape, images.num_classes), images.shape)


class Storage:
    """Bytes of the jobs of a study.

    Args:
        shapes: of the study.
    """

    def __init__(self, shapes: StudyShapes) -> None:
        self._shapes, self._study = shapes, shapes.study
        self._sizes: dict[str, NetworkSize] = {}

    def on_disk(self, job: PlannedJob) -> int:
        """Return the bytes of the files that a job leaves."""
        return _LOGS + _HEADER + self._content(job)

    def in_memory(self, job: PlannedJob) -> int:
        """Return the bytes of memory at the peak of a job: libraries, copies of weights, and layers of a batch."""
        if job.rule == "model":
            return int(_LIBRARIES["training"] + self._of_training(job.name))
        if job.rule in ("attack", "attack_kept", "score_shard"):
            run = job.name if job.name in self._study.runs else self._model_of(job.name)
            size = None if run is None else self._size(run)
            return int(_LIBRARIES["torch"] + (0 if size is None else size.of_attack(self._batch(job))))
        is_training = job.rule in ("generator", "learn_dataset")
        is_torch = is_training or job.rule in ("synthetic", "import_model")
        return int(_LIBRARIES["training" if is_training else "torch" if is_torch else "other"])

    def _of_training(self, run: str) -> int:
        settings, size = run_settings(self._study, run), self._size(run)
        training, pool = settings.training, self._study.runs[run].pool
        images = self._shapes.rows(pool) * self._shapes.images(pool).bytes
        kept = images if images <= training.device_images_gib * 2**30 else 0
        return size.of_training(training.batch_size, training.outer_passes[1]) + kept

    def _batch(self, job: PlannedJob) -> int:
        settings = self._study.settings
        asked = settings.attacks[job.attack].batch_size if job.attack else settings.scores[job.name].batch_size  # type: ignore[union-attr]
        run = job.name if job.attack else self._model_of(job.name)
        pool = self._study.score_pool(job.name) if run is None else self._study.runs[run].pool
        return images_a_batch(asked, self._shapes.images(pool).shape)

    def _model_of(self, score: str) -> str | None:
        model = getattr(self._study.settings.scores[score], "model", None)
        return None if model is None else model.run

    def _size(self, run: str) -> NetworkSize:
        if run not in self._sizes:
            resolved = self._study.runs[run]
            self._sizes[run] = network_size(resolved.architecture, self._shapes.images(resolved.pool))
        return self._sizes[run]

    def _content(self, job: PlannedJob) -> int:
        study, shapes, rule, name = self._study, self._shapes, job.rule, job.name
        if rule == "dataset":
            counts = shapes.datasets[name].num_rows or (0, 0)
            return sum(counts) * (shapes.images_of_dataset(name).bytes + _LABEL)
        if rule == "synthetic":
            count = getattr(study.settings.pools[name].synthetic, "count", None) or 0
            return count * (shapes.images(name).bytes + _LABEL)
        if rule == "learn_dataset":
            return shapes.rows(name) * (shapes.images(name).bytes + _LABEL + _SOURCE)
        if rule == "generator":
            settings = study.settings.generators[name]
            images = shapes.images_of_dataset(settings.dataset)
            denoiser = build_denoiser(settings, images.shape, images.num_classes, 0)
            margins: int = (
                0 if settings.margin is None else shapes.rows(study.score_pool(settings.margin.score)) * _FLOAT
            )
            return margins + sum(int(tensor.nbytes) for tensor in denoiser.state_dict().values())
        if rule == "selection":
            return shapes.rows(study.runs[name].pool) * _SELECTED
        if rule in ("score", "score_shard", "tracked_score", "file_score"):
            shards = getattr(study.settings.scores[name], "shards", 1) if rule == "score_shard" else 1
            return shapes.rows(study.score_pool(name)) // shards * _SCORED
        return self._of_models(job)

    def _of_models(self, job: PlannedJob) -> int:
        if job.rule == "import_model":
            return self._size(job.name).weights
        if job.rule == "model":
            run = run_settings(self._study, job.name)
            rows = self._shapes.rows(self._study.runs[job.name].pool)
            tracked = sum(
                len(epochs_of(wanted, run.training.epochs)) * (1 if name == "correct" else _FLOAT)
                for name, wanted in passes_of(run.track).items()
            )
            return self._size(job.name).weights * (1 + len(kept_epochs(run.training))) + rows * tracked
        if job.attack is not None:
            count, attack = self._shapes.rows_attacked(job.name, job.attack), self._study.settings.attacks[job.attack]
            point = self._shapes.images(self._study.runs[job.name].pool).bytes * _FLOAT if attack.keep_points else 0
            return count * (_ATTACKED + point)
        return _REPORT if job.rule == "report" else 0
