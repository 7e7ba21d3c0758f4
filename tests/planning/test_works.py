"""What a job repeats, beside what it does."""

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.learning.inputs import LearningInputs
from pumalib.learning.methods.tri_level import learn
from pumalib.learning.population import Population
from pumalib.learning.settings import TriLevelSettings, starting_ages
from pumalib.models.settings import ArchitectureSettings
from pumalib.planning.images import Images
from pumalib.planning.meters import counted
from pumalib.planning.pieces import network_for, scored_batch
from pumalib.planning.works import num_probes
from pumalib.scores.settings import (
    DeepfoolPublishedSettings,
    DeepfoolSettings,
    FastMarginSettings,
    MarginSettings,
    RefinedMarginSettings,
)

IMAGES = Images((4, 4, 1), 2, has_synthetic=False)


def learning(steps: int, probe_every: int) -> TriLevelSettings:
    return TriLevelSettings(
        pool="real",
        architectures=(ArchitectureSettings(name="mlp", width=4),),
        steps=steps,
        unrolled_steps=1,
        batch_size=8,
        networks=3,
        max_age=10,
        attack_steps=1,
        attack_batch_size=8,
        probe_every=probe_every,
    )


def test_networks_of_a_learned_pool_start_at_the_ages_that_are_planned() -> None:
    population = Population(learning(1, 1), IMAGES.shape, 2, 0, torch.device("cpu"))
    drawn = IMAGES.draw(8)
    pixels: Tensor = torch.from_numpy(drawn.images).permute(0, 3, 1, 2) / 255
    population.fill(pixels, torch.from_numpy(drawn.labels))
    assert [member.age for member in population.members] == starting_ages(learning(1, 1)) == [0, 3, 6]


def test_a_learned_pool_is_measured_as_often_as_planned(tmp_path):
    drawn = IMAGES.draw(8)
    for steps, probe_every, lines in ((4, 2, 3), (5, 2, 4), (1, 9, 2)):
        path = tmp_path / f"{steps}.csv"
        learn(
            learning(steps, probe_every),
            LearningInputs(drawn.images, drawn.labels, 2, ThreatSettings(epsilon=0.1), progress=path),
        )
        assert len(path.read_text().splitlines()) - 1 == num_probes(learning(steps, probe_every)) == lines


@pytest.mark.parametrize(
    "search", [FastMarginSettings, DeepfoolSettings, RefinedMarginSettings, DeepfoolPublishedSettings]
)
def test_a_pass_of_a_margin_search_takes_the_flops_of_the_network(search: type[MarginSettings]) -> None:
    architecture, images = ArchitectureSettings(name="small-cnn"), Images((12, 12, 1), 10)
    with FlopCounterMode(display=False) as once, torch.no_grad():
        network_for(images, architecture)(torch.zeros(1, 1, 12, 12))
    threat = ThreatSettings(norm="linf", epsilon=0.1)
    line = counted(scored_batch(search(model="trades"), threat, architecture, images))
    assert line.passes is not None
    assert 0.9 < line.per_row["flops float32"] / line.passes / once.get_total_flops() < 1.15
