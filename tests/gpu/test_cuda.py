"""The same numbers on a CUDA device as on the CPU, up to float tolerance. Needs no Snakemake."""

import numpy as np
import pytest
import torch

from pumalib import (
    ArchitectureSettings,
    ThreatSettings,
    TrackSettings,
    TradesSettings,
    TrainOptions,
    build_model,
    deepfool_margins,
    evaluate,
    fast_margins,
    refined_margins,
    train,
)
from pumalib.jobs.devices import use_precision

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
THREAT = ThreatSettings(epsilon=0.1)


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None], bunch.target.astype(np.int64)


@pytest.fixture(scope="module")
def trained(digits) -> torch.nn.Module:
    recipe = TradesSettings(
        epochs=4, samples_per_epoch=6400, batch_size=128, learning_rate=0.1, crop_padding=0, horizontal_flip=False
    )
    model = build_model(ArchitectureSettings(name="convnet", width=16), (8, 8, 1), 10)
    result = train(model, *digits, settings=recipe, threat=THREAT, options=TrainOptions(device="cuda"))
    assert result.history["clean_accuracy"].iloc[-1] > 0.8
    return result.model


@pytest.mark.parametrize("estimate", [deepfool_margins, fast_margins, refined_margins])
def test_margins_agree_with_the_cpu(trained, digits, estimate):
    images, labels = digits
    pixels = torch.from_numpy(images[:300]).permute(0, 3, 1, 2).float() / 255
    on_gpu = estimate(trained, pixels, labels[:300])
    on_cpu = estimate(trained.cpu(), pixels, labels[:300])
    trained.cuda()
    assert np.median(np.abs(on_gpu.margin - on_cpu.margin)) < 1e-4
    assert abs(on_gpu.margin.mean() - on_cpu.margin.mean()) < 1e-3


def test_points_found_in_tf32_are_across_in_float32(trained, digits):
    images, labels = digits
    pixels = torch.from_numpy(images[:300]).permute(0, 3, 1, 2).float() / 255
    use_precision(tf32=True)
    try:
        table = deepfool_margins(trained, pixels, labels[:300], keep_adversarial=True)
    finally:
        use_precision(tf32=False)
    points = torch.from_numpy(table.adversarial_images[table.converged])
    with torch.no_grad():
        is_right = trained.cpu()(points).argmax(1).numpy() == labels[:300][table.converged]
    trained.cuda()
    assert np.mean(is_right == (table.margin[table.converged] < 0)) > 0.99


def test_evaluation_agrees_with_the_cpu(trained, digits):
    images, labels = digits
    pixels = torch.from_numpy(images[:300]).permute(0, 3, 1, 2).float() / 255
    on_gpu = evaluate(trained, pixels, labels[:300], threat=THREAT)
    on_cpu = evaluate(trained.cpu(), pixels, labels[:300], threat=THREAT)
    trained.cuda()
    assert abs(on_gpu.clean_accuracy - on_cpu.clean_accuracy) < 0.01
    assert abs(on_gpu.robust_accuracy - on_cpu.robust_accuracy) < 0.02


def test_what_training_gathers_agrees_with_the_cpu(digits):
    images, labels = digits[0][:300], digits[1][:300]
    names = ("correct", "el2n", "loss", "grand", "aign")
    track = TrackSettings.model_validate({**{name: {"inputs": "clean"} for name in names}, "visits": {}})
    recipe = TradesSettings(
        epochs=2, samples_per_epoch=256, batch_size=64, learning_rate=1e-6, crop_padding=0, horizontal_flip=False
    )
    tracks = []
    for device in ("cuda", "cpu"):
        model = build_model(ArchitectureSettings(name="convnet", width=8), (8, 8, 1), 10)
        options = TrainOptions(track=track, device=device)
        # A device draws the random starts of attacks by its own generator: an epsilon at which they do not matter.
        threat = ThreatSettings(epsilon=1e-4)
        tracks.append(train(model, images, labels, settings=recipe, threat=threat, options=options).track)
    for name in ("el2n", "loss", "grand", "aign"):
        on_gpu, on_cpu = (found.quantities[name].values for found in tracks)
        np.testing.assert_allclose(on_gpu, on_cpu, rtol=0.02, atol=1e-3)
    assert np.mean(tracks[0].quantities["correct"].values == tracks[1].quantities["correct"].values) > 0.98
    assert np.array_equal(tracks[0].visits.count, tracks[1].visits.count)
