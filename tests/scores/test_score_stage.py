import logging
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter

from pumalib.attacks.deepfool import deepfool_margins
from pumalib.attacks.extrapolated_margin import extrapolated_margins
from pumalib.attacks.threat_settings import Norm, ThreatSettings
from pumalib.data.datasets import prepare_dataset
from pumalib.data.pool import build_pool, open_pool
from pumalib.data.settings import DigitsSettings
from pumalib.errors import ArtifactError, ConfigError, DataError
from pumalib.files.artifacts import file_fingerprint
from pumalib.models.build import build_model
from pumalib.models.settings import ArchitectureSettings
from pumalib.models.trained import load_trained, save_trained
from pumalib.scores.functions import load_function
from pumalib.scores.join import join_shards
from pumalib.scores.settings import CustomScoreSettings, ModelReference, ScoreSettings
from pumalib.scores.stage import score_shard
from pumalib.scores.table import ScoreTable, read_scores
from pumalib.training.settings import NaturalSettings
from pumalib.training.train import train

RUN: dict[str, Any] = {"model": "margin-model", "batch_size": 7}
DEEPFOOL = {**RUN, "method": "deepfool", "max_iterations": 20, "num_candidates": 9}
FAST = {**RUN, "method": "fast_margin", "step_size": 0.01, "max_iterations": 60}
PUBLISHED = {**DEEPFOOL, "method": "deepfool_published"}
REFINED = {**DEEPFOOL, "method": "refined_margin", "refinement_steps": 3}
OWN = {**RUN, "higher_is": "harder"}

FUNCTIONS = """
import numpy as np
import torch
import torch.nn.functional as F

calls = []

def loss(model, images, labels, temperature=1.0):
    calls.append(len(labels))
    return F.cross_entropy(model(images) / temperature, labels, reduction="none")

def raises(model, images, labels):
    return missing_name

def brightness(model, images, labels):
    assert images.dtype == torch.float32 and images.ndim == 4 and labels.dtype == torch.int64
    assert not model.training
    return images.flatten(1).sum(1).tolist()

def gradient_norm(model, images, labels):
    images = images.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(F.cross_entropy(model(images), labels, reduction="sum"), images)
    return gradient.flatten(1).norm(dim=1)

def too_few(model, images, labels):
    return np.zeros(len(labels) - 1)

def one_a_class(model, images, labels):
    return model(images)

def not_a_number(model, images, labels):
    return np.where(np.arange(len(labels)) == 1, np.nan, 0.0)

def too_large(model, images, labels):
    return np.full(len(labels), 1e300)

def nothing(model, images, labels):
    return None

def words(model, images, labels):
    return ["hard"] * len(labels)

constant = 3
"""


def assert_same_margins(table: ScoreTable, margin: NDArray[np.float32]) -> None:
    """Compare margins measured in other batches, where they are values: the walk of a bound ends anywhere."""
    assert table.converged is not None
    assert table.converged.mean() > 0.8
    np.testing.assert_allclose(table.score[table.converged], margin[table.converged], rtol=1e-2, atol=1e-5)
    assert np.array_equal(np.sign(table.score), np.sign(margin))


def score(values: dict[str, Any], pool: Path, model: Path, folder: Path, norm: Norm = "linf") -> ScoreTable:
    """Score a pool shard by shard and join it, as the workflow does."""
    settings: Any = TypeAdapter(ScoreSettings).validate_python(values)
    shards = [folder / f"shard{index}of{settings.shards}.h5" for index in range(settings.shards)]
    for index, path in enumerate(shards):
        score_shard(settings, pool, model, path, shard=index, threat_norm=norm, device="cpu")
    join_shards(shards, pool, folder / "score.h5", values)
    return read_scores(folder / "score.h5", open_pool(pool).fingerprint)


def make_pool(folder: Path, seed: int) -> Path:
    """Make a pool of 60 digits."""
    settings = DigitsSettings(source="digits", split="seeded", test_fraction=0.9, train_count=60)
    prepare_dataset(settings, seed, folder, folder / "dataset.h5")
    build_pool(folder / "dataset.h5", None, folder / "pool.h5", {})
    return folder / "pool.h5"


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a pool of 60 digits."""
    return make_pool(tmp_path_factory.mktemp("pool"), 0)


@pytest.fixture(scope="module")
def other_pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return another pool of 60 digits."""
    return make_pool(tmp_path_factory.mktemp("other_pool"), 1)


@pytest.fixture(scope="module")
def model(pool: Path) -> Path:
    """Return the weights of a small network half trained on the pool, so that some rows are misclassified."""
    opened, architecture = open_pool(pool), ArchitectureSettings(name="mlp", width=16)
    network = build_model(architecture, opened.image_shape, 10, seed=0)
    recipe = NaturalSettings(epochs=8, samples_per_epoch=320, batch_size=32, crop_padding=0, horizontal_flip=False)
    images = opened.images[np.arange(len(opened))]
    result = train(network, images, opened.labels, settings=recipe, threat=ThreatSettings(epsilon=0.1))
    path = pool.parent / "model.safetensors"
    save_trained(result.model, path, architecture, opened.image_shape, opened.class_names)
    return path


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a module of one's own scores in the folder one runs from."""
    name = f"my_scores_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return name


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_deepfool_score_is_the_margin_of_every_row_in_pool_order(
    pool: Path, model: Path, tmp_path: Path, norm: Norm
) -> None:
    table = score(DEEPFOOL, pool, model, tmp_path, norm)
    opened, trained = open_pool(pool), load_trained(model, "cpu")
    images = np.moveaxis(opened.images[np.arange(len(opened))], 3, 1).astype(np.float32) / 255
    expected = deepfool_margins(
        trained.model, images, opened.labels, norm=norm, max_iterations=20, num_candidates=9, batch_size=60
    )
    assert_same_margins(table, expected.margin)
    assert np.array_equal(table.columns["prediction"], expected.prediction)
    assert ((table.score > 0) == (expected.prediction == opened.labels)).all()
    assert 0 < (table.score < 0).sum() < 60
    assert (table.norm, table.higher_is, table.method) == (norm, "easier", "deepfool")
    assert table.model_fingerprint == trained.fingerprint
    assert table.valid.all()


@pytest.mark.parametrize("values", [DEEPFOOL, PUBLISHED, FAST, REFINED], ids=lambda values: values["method"])
def test_joined_shards_equal_the_score_in_one_piece(
    pool: Path, model: Path, tmp_path: Path, values: dict[str, Any]
) -> None:
    whole = score(values, pool, model, tmp_path)
    joined = score({**values, "shards": 4}, pool, model, tmp_path)
    assert len(joined.score) == 60
    assert_same_margins(joined, whole.score)
    assert np.array_equal(joined.columns["converged"], whole.columns["converged"])


def test_batch_size_changes_no_score(pool: Path, model: Path, tmp_path: Path) -> None:
    small, large = (score({**DEEPFOOL, "batch_size": size}, pool, model, tmp_path) for size in (3, 500))
    assert_same_margins(small, large.score)


def test_an_imported_checkpoint_gives_the_scores_of_the_model_it_was_saved_from(
    pool: Path, model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "elsewhere.pt"
    torch.save({"state_dict": torch.nn.DataParallel(load_trained(model, "cpu").model).state_dict()}, path)
    reference = {"checkpoint": str(path), "architecture": {"name": "mlp", "width": 16}}
    table = score({**FAST, "model": reference}, pool, path, tmp_path)
    np.testing.assert_array_equal(table.score, score(FAST, pool, model, tmp_path).score)
    assert table.model_fingerprint == file_fingerprint(path)


def test_an_imported_checkpoint_of_another_class_count_is_refused(pool: Path, tmp_path: Path) -> None:
    path = tmp_path / "elsewhere.pt"
    torch.save(build_model(ArchitectureSettings(name="mlp"), (8, 8, 1), 7).state_dict(), path)
    reference = {"checkpoint": str(path), "architecture": "mlp"}
    with pytest.raises(ArtifactError, match="expected a network of 10 classes, as the images have, got one of 7 in"):
        score({**FAST, "model": reference}, pool, path, tmp_path)


def test_the_norm_of_the_settings_goes_before_the_threat_s(pool: Path, model: Path, tmp_path: Path) -> None:
    table = score({**FAST, "norm": "l2", "max_iterations": 3}, pool, model, tmp_path)
    assert table.norm == "l2"


def test_rows_that_did_not_converge_are_logged(
    pool: Path, model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        table = score({**FAST, "step_size": 1e-4, "max_iterations": 1}, pool, model, tmp_path)
    assert table.converged is not None
    missing = int((~table.converged).sum())
    assert missing > 0
    assert f"{missing} of 60 rows did not converge" in caplog.text


def test_margins_up_to_a_distance_are_those_of_the_whole_search_or_marked(
    pool: Path, model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = score(DEEPFOOL, pool, model, tmp_path)
    up_to = float(np.median(np.abs(whole.score)))
    (tmp_path / "bounded").mkdir()
    with caplog.at_level(logging.INFO):
        table = score({**DEEPFOOL, "up_to": up_to, "shards": 2}, pool, model, tmp_path / "bounded")
    assert 20 < table.bounded.sum() < 40
    np.testing.assert_allclose(table.score[~table.bounded], whole.score[~table.bounded], rtol=1e-2, atol=1e-5)
    np.testing.assert_array_equal(np.abs(table.score[table.bounded]), np.float32(up_to))
    assert "bounded" not in whole.columns
    assert "margins are bounds at up_to, as asked for" in caplog.text
    assert "did not converge" not in caplog.text


def extrapolated(**values: Any) -> dict[str, Any]:
    """Return a score of which half the rows of these 60 are measured."""
    return {**DEEPFOOL, "extrapolate": {"measured": 0.5, "neighbours": 3, "least_agreement": 0.5, **values}}


def test_measured_rows_of_an_extrapolated_score_are_those_of_the_whole_one(
    pool: Path, model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = score(DEEPFOOL, pool, model, tmp_path)
    (tmp_path / "share").mkdir()
    with caplog.at_level(logging.INFO):
        table = score(extrapolated(), pool, model, tmp_path / "share")
    labels, measured = open_pool(pool).labels, table.measured
    for name in range(10):
        assert measured[labels == name].sum() == np.floor(0.5 * (labels == name).sum() + 0.5)
    np.testing.assert_allclose(table.score[measured], whole.score[measured], rtol=1e-2, atol=1e-5)
    assert (np.sign(table.score) == np.sign(whole.score)).all()
    np.testing.assert_array_equal(table.columns["prediction"], whole.columns["prediction"])
    np.testing.assert_array_equal(table.columns["forwards"][~measured], 1)
    np.testing.assert_array_equal(table.columns["backwards"][~measured], 0)
    forwards = (table.columns["forwards"] - whole.columns["forwards"])[measured]
    assert np.median(forwards) == 1  # the look; a batch more or less may walk otherwise
    assert whole.measured.all()
    assert whole.held_back_agreement is None
    assert table.held_back_agreement is not None
    assert table.held_back_agreement > 0.5
    assert f"rank correlation {table.held_back_agreement:.3f}" in caplog.text
    assert "did not converge" not in caplog.text


def test_an_extrapolated_score_is_the_one_of_the_library(pool: Path, model: Path, tmp_path: Path) -> None:
    opened, trained = open_pool(pool), load_trained(model, "cpu")
    images = np.moveaxis(opened.images[np.arange(len(opened))], 3, 1).astype(np.float32) / 255
    options = {"max_iterations": 20, "num_candidates": 9, "batch_size": 7}
    found = extrapolated_margins(
        trained.model, images, opened.labels, estimate=partial(deepfool_margins, **options), source=opened.source,
        fraction=0.5, neighbours=3, least_agreement=0.5,
    )  # fmt: skip
    table = score(extrapolated(), pool, model, tmp_path)
    np.testing.assert_array_equal(table.measured, found.measured)
    np.testing.assert_allclose(table.score, found.table.margin, rtol=1e-2, atol=1e-5)
    assert table.held_back_error == pytest.approx(found.held_back.error, rel=1e-2)


def test_an_extrapolated_score_that_does_not_follow_is_refused(pool: Path, model: Path, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"is at least 0.9999, got 0\.\d+ on \d+ measured rows that were held back; measure"
    ):
        score(extrapolated(least_agreement=0.9999), pool, model, tmp_path)
    with pytest.raises(DataError, match="for 40 neighbours when a fifth is held back"):
        score(extrapolated(neighbours=40), pool, model, tmp_path)


def test_more_shards_than_rows_are_refused(pool: Path, model: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="one shard for each of 60 rows, got shard 0 of 61"):
        score({**FAST, "shards": 61}, pool, model, tmp_path)


def test_one_shard_a_row_is_possible(pool: Path, model: Path, tmp_path: Path, own: str) -> None:
    table = score({**OWN, "method": f"{own}:brightness", "shards": 60}, pool, model, tmp_path)
    assert len(table.score) == 60


def test_shards_of_another_pool_are_not_joined(pool: Path, other_pool: Path, model: Path, tmp_path: Path) -> None:
    score(FAST, pool, model, tmp_path)
    with pytest.raises(ArtifactError, match="made for another pool"):
        join_shards([tmp_path / "shard0of1.h5"], other_pool, tmp_path / "joined.h5", {})


def test_a_function_of_one_s_own_scores_the_pool(pool: Path, model: Path, tmp_path: Path, own: str) -> None:
    values = {**OWN, "method": f"{own}:loss", "options": {"temperature": 2.0}, "shards": 3}
    table = score(values, pool, model, tmp_path)
    opened, trained = open_pool(pool), load_trained(model, "cpu")
    images = torch.from_numpy(np.moveaxis(opened.images[np.arange(60)], 3, 1).astype(np.float32) / 255)
    with torch.no_grad():
        logits = trained.model(images).double().numpy() / 2
    expected = np.log(np.exp(logits).sum(1)) - logits[np.arange(60), opened.labels]
    np.testing.assert_allclose(table.score, expected, rtol=1e-4, atol=1e-5)
    assert (table.higher_is, table.method, table.norm) == ("harder", f"{own}:loss", "")
    assert table.converged is None


def test_a_function_of_one_s_own_gets_batches_of_the_size_asked_for(
    pool: Path, model: Path, tmp_path: Path, own: str
) -> None:
    score({**OWN, "method": f"{own}:loss"}, pool, model, tmp_path)
    calls: list[int] = __import__(own).calls
    assert sum(calls) == 60
    assert set(calls) <= {7, 60 % 56 % 7}


@pytest.mark.parametrize("function", ["brightness", "gradient_norm"])
def test_lists_and_gradients_are_welcome(pool: Path, model: Path, tmp_path: Path, own: str, function: str) -> None:
    table = score({**OWN, "method": f"{own}:{function}"}, pool, model, tmp_path)
    assert np.isfinite(table.score).all()
    if function == "brightness":
        opened = open_pool(pool)
        sums = opened.images[np.arange(60)].reshape(60, -1).sum(1) / 255
        np.testing.assert_allclose(table.score, sums, rtol=1e-5)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("raises", r"it raised NameError: name 'missing_name' is not defined \(.*my_scores_\d+\.py, line \d+\)"),
        ("too_few", r"expected 7 scores from my_scores_\d+:too_few, one per image, got shape \(6,\)"),
        ("one_a_class", r"one per image, got shape \(7, 10\)"),
        ("nothing", r"one per image, got shape \(\)|got NoneType"),
        ("not_a_number", "expected finite scores from .*, got nan for 1 of 7 images"),
        ("too_large", "expected finite scores from .*, got inf for 7 of 7 images"),
        ("words", "expected 7 numbers from .*, got list"),
    ],
)
def test_results_that_are_no_scores_are_refused(
    pool: Path, model: Path, tmp_path: Path, own: str, function: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        score({**OWN, "method": f"{own}:{function}"}, pool, model, tmp_path)


def test_a_function_that_is_not_there_is_refused(tmp_path: Path, own: str) -> None:
    (tmp_path / f"broken_{own}.py").write_text("def loss(:")
    for method, message in [
        ("no_such_module:loss", "found no no_such_module.py in the folder you run from"),
        (f"{own}:no_such_function", "expected a score function no_such_function in module"),
        (f"broken_{own}:loss", "failed with SyntaxError"),
        (f"{own}:constant", "expected a score function constant .* got a int"),
    ]:
        with pytest.raises(ConfigError, match=message):
            load_function(CustomScoreSettings(method=method, model=ModelReference(run="trades"), higher_is="harder"))
