"""Predict times on GPUs from counts that are made here, on a processor: pieces of work, and the paper's study.

    OMP_NUM_THREADS=1 python benchmarks/predicted_times.py            # pieces, some minutes
    OMP_NUM_THREADS=1 python benchmarks/predicted_times.py --study studies/paper-cifar10.yaml   # a minute
    OMP_NUM_THREADS=1 python benchmarks/predicted_times.py --study studies/paper-imagenet21k.yaml --rows 5300000

Nothing is measured here; `measured_times.py` does that on a GPU. docs/predicted-times.md says what is assumed. The
tables are Markdown.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch

from pumalib.attacks.settings import CwPgdSettings
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.data.settings import DatasetSettings, ImageFilesSettings
from pumalib.data.sources.raw import SourceShape
from pumalib.errors import ConfigError
from pumalib.models.settings import ArchitectureSettings
from pumalib.planning import pieces
from pumalib.planning.images import Images
from pumalib.planning.jobs import PlannedJob, jobs_of
from pumalib.planning.machines import MACHINES, Machine
from pumalib.planning.meters import Amounts, Line, Meter, Piece, counted
from pumalib.planning.shapes import StudyShapes
from pumalib.planning.typical import attack_passes, margin_passes, steps_tried
from pumalib.planning.works import Works
from pumalib.scores.settings import DeepfoolSettings
from pumalib.study.check_pools import look_at_datasets
from pumalib.study.file import read_study_file
from pumalib.study.study import Study, parse_study
from pumalib.training.length import num_draws, of_pool
from pumalib.training.run_settings import RunSettings
from pumalib.training.settings import TradesSettings

THREAT = ThreatSettings(norm="linf", epsilon=8 / 255)
IMAGES = Images((32, 32, 3), 10, has_synthetic=True)
ATTACK_STEPS, TRAINED, LOOKED_AT = 10, 512, 500
PRECISIONS = ("float32", "tf32", "bfloat16 attack, float32 else", "bfloat16 attack, tf32 else")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nets", nargs="+", default=["resnet-18", "wrn-28-10"])
    parser.add_argument("--study", help="predict this study instead of pieces; its files need not be there")
    parser.add_argument("--rows", type=int, help="images in the folders of the study, where they are not there")
    options = parser.parse_args()
    if options.study:
        print_study(options.study, options.rows)
    else:
        print_pieces(options.nets)


def print_pieces(nets: list[str]) -> None:
    """Print counts, then times, of the pieces."""
    found = {(net, name): parts for net in nets for name, parts in pieces_of(ArchitectureSettings(name=net)).items()}
    print("| network | piece | launches | GFLOP per row | MB per row: products | all else | MB fixed |")
    print("|:--|:--|--:|--:|--:|--:|--:|")
    for (net, name), (outer, attack, rows) in found.items():
        row, fixed = (_minus(_at(outer, attack, n), _at(outer, attack, m)) for n, m in ((1, 0), (0, None)))
        flops = row.get("flops float32", 0) / 1e9
        megabytes = (row["product bytes"] / 1e6, row["other bytes"] / 1e6)
        both = (fixed["product bytes"] + fixed["other bytes"]) / 1e6
        print(
            f"| {net} | {name} | {_at(outer, attack, rows)['launches']:,.0f} | {flops:.1f} "
            f"| {megabytes[0]:.0f} | {megabytes[1]:.0f} | {both:,.0f} |"
        )
    print("\nPredicted, not measured:\n")
    print("| network | piece, rows | precision | predicted H100 | at peak | predicted H200 | at peak |")
    print("|:--|:--|:--|--:|--:|--:|--:|")
    for (net, name), (outer, attack, rows) in found.items():
        for precision in PRECISIONS if attack is not None else PRECISIONS[:2]:
            times = [
                _milliseconds(each, precision, outer.at(rows), None if attack is None else attack.at(rows))
                for machine in MACHINES.values()
                for each in (machine, machine.at_peak())
            ]
            print(f"| {net} | {name}, {rows} | {precision} | " + " | ".join(f"{time:,.0f} ms" for time in times) + " |")


Parts = tuple[Line, Line | None, int]
"""What is not the inner attack, the inner attack, and the rows of a batch."""


def pieces_of(architecture: ArchitectureSettings) -> dict[str, Parts]:
    """Count the pieces on one network."""
    one, two = (counted(pieces.training_step(_run(architecture, steps), IMAGES)) for steps in (1, 2))
    step = Line(_minus(two.fixed, one.fixed), _minus(two.per_row, one.per_row))
    outer = Line(_minus(one.fixed, step.fixed), _minus(one.per_row, step.per_row))
    deepfool = DeepfoolSettings(model="margins")
    search = counted(pieces.scored_batch(deepfool, THREAT, architecture, IMAGES))
    cw = CwPgdSettings()
    few = counted(pieces.attacked_batch(cw, THREAT, architecture, IMAGES))
    share = attack_passes(cw) / attack_passes(cw.model_copy(update=steps_tried(cw)))
    typical = (margin_passes(deepfool) or 0) / (search.passes or 1)
    return {
        "TRADES step": (outer, _times(step, ATTACK_STEPS), TRAINED),
        "DeepFool": (_times(search, typical), None, LOOKED_AT),
        "C&W-PGD-40": (_times(few, share), None, LOOKED_AT),
    }


def _run(architecture: ArchitectureSettings, attack_steps: int) -> RunSettings:
    training = TradesSettings(attack_steps=attack_steps, crop_padding=4, horizontal_flip=True)
    return RunSettings(architecture=architecture, training=training, threat=THREAT)


def _milliseconds(machine: Machine, precision: str, outer: Amounts, attack: Amounts | None) -> float:
    """Return the time of both parts; in bfloat16 the attack's products are faster, and move as many bytes (casts)."""
    plain = replace(machine, products="tf32" if "tf32" in precision else "float32")
    if attack is None:
        return 1e3 * plain.seconds(outer)
    if "bfloat16" in precision:
        attack = {("flops bfloat16" if name == "flops float32" else name): amount for name, amount in attack.items()}
    names = set(outer) | set(attack)
    return 1e3 * plain.seconds({name: outer.get(name, 0.0) + attack.get(name, 0.0) for name in names})


def _at(outer: Line, attack: Line | None, rows: int | None) -> Amounts:
    if rows is None:
        return dict.fromkeys(outer.fixed, 0.0)
    parts = [line.at(rows) for line in (outer, attack) if line is not None]
    return {name: sum(part.get(name, 0.0) for part in parts) for name in parts[0]}


def _minus(after: Amounts, before: Amounts) -> Amounts:
    return {name: after[name] - before.get(name, 0.0) for name in after}


def _times(line: Line, factor: float) -> Line:
    fixed, per_row = ({name: factor * amount for name, amount in part.items()} for part in (line.fixed, line.per_row))
    return Line(fixed, per_row, line.passes)


PUBLISHED = {"cifar10_files": SourceShape((32, 32, 3), 10, (50_000, 10_000))}
"""What sources are whose files hold the same images everywhere."""


@dataclass(frozen=True)
class AssumedShapes(StudyShapes):
    """A study whose images are not there.

    Attributes:
        assumed_rows: images in each folder.
    """

    assumed_rows: int | None = None

    @cached_property
    def datasets(self) -> dict[str, SourceShape]:
        """Return what the images of each dataset are, or are assumed to be."""
        try:
            return dict(look_at_datasets(self.study))
        except ConfigError:
            return {name: self._assumed(dataset) for name, dataset in self.study.settings.datasets.items()}

    def _assumed(self, dataset: DatasetSettings) -> SourceShape:
        if dataset.source in PUBLISHED:
            return PUBLISHED[dataset.source]
        if self.assumed_rows is None or not isinstance(dataset, ImageFilesSettings) or dataset.classes is None:
            raise SystemExit("expected the images of the study to be there, or --rows and folders with a class tree")
        shape = (dataset.image_size, dataset.image_size, dataset.channels)
        return SourceShape(shape, dataset.classes.groups, (self.assumed_rows, 0))


def print_study(path: str, rows: int | None) -> None:
    """Print the GPU-hours of a study: planned passes times what a pass of its network takes in a batch of a training.

    Optimisers, data and what else a step does beside passes are left out.
    """
    study = parse_study(read_study_file(path), path)
    shapes = AssumedShapes(study, rows)
    lines = dict[ArchitectureSettings, tuple[Line, Line]]()
    works = Works(shapes, lambda key, make: Line({}, {}, None), {})
    machines = [
        replace(machine, products=products) for machine in MACHINES.values() for products in ("float32", "tf32")
    ]
    hours: dict[tuple[str, str], list[float]] = {}
    for job in jobs_of(study).values():
        passes = works.of(job).passes
        if not passes:
            continue
        architecture = _network_of(study, job)
        if architecture not in lines:
            lines[architecture] = _pairs_of_passes(architecture, shapes.images(_pool_of(study, job)))
        outer = _outer_pairs(study, job, shapes)
        batch = next(iter(study.trained.values())).training.batch_size
        amounts = [line.at(batch) for line in lines[architecture]]
        row = hours.setdefault((job.rule, architecture.name), [0.0] * (2 + len(machines)))
        row[0], row[1] = row[0] + 1, row[1] + passes
        for place, machine in enumerate(machines, start=2):
            attacking, training = (machine.seconds(each) / batch / 3600 for each in amounts)
            row[place] += (passes / 2 - outer) * attacking + outer * training
    print(f"Predicted GPU-hours of {Path(path).stem}, not measured:\n")
    names = [f"predicted {machine.name}, {machine.products}" for machine in machines]
    print("| jobs | network | number | passes | " + " | ".join(names) + " |")
    print("|:--|:--|--:|--:|" + "--:|" * len(machines))
    for (rule, network), (number, passes, *found) in hours.items():
        print(
            f"| {rule} | {network} | {number:,.0f} | {passes:.2g} | "
            + " | ".join(f"{each:,.0f}" for each in found)
            + " |"
        )
    sums = [sum(row[place] for row in hours.values()) for place in range(2, 2 + len(machines))]
    print("| all | | | | " + " | ".join(f"{each:,.0f}" for each in sums) + " |")


def _pool_of(study: Study, job: PlannedJob) -> str:
    return study.score_pool(job.name) if job.rule == "score_shard" else study.runs[job.name].pool


def _network_of(study: Study, job: PlannedJob) -> ArchitectureSettings:
    if job.rule != "score_shard":
        return study.runs[job.name].architecture
    model = study.settings.scores[job.name].model  # type: ignore[union-attr]
    architecture = study.runs[model.run].architecture if model.run else model.architecture
    assert architecture is not None
    return architecture


def _outer_pairs(study: Study, job: PlannedJob, shapes: StudyShapes) -> float:
    """Return how many rows go forward and back through the weights as well: those of the outer steps."""
    if job.rule != "model":
        return 0.0
    training = of_pool(study.trained[job.name].training, shapes.rows(study.trained[job.name].pool))
    return float(num_draws(training) * training.outer_passes[1])


def _pairs_of_passes(architecture: ArchitectureSettings, images: Images) -> tuple[Line, Line]:
    """Count a forward pass with the gradient by images in eval mode, and one with that by weights in train mode.

    Nothing is computed: shapes alone tell the counts, so the tensors have no memory.
    """

    built = pieces.network_for(images, architecture)
    height, width, channels = images.shape

    def piece(is_training: bool) -> Piece:
        def run(rows: int, meter: Meter, repetitions: int) -> float:
            network = built.to("meta").train(is_training).requires_grad_(is_training)
            pixels = torch.zeros(rows, channels, height, width, device="meta", requires_grad=not is_training)
            meter.lap()
            network(pixels).sum().backward()
            meter.lap()
            return 2.0

        return Piece(TRAINED, run)

    return counted(piece(False)), counted(piece(True))


if __name__ == "__main__":
    main()
