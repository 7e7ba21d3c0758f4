import pytest
import torch

from pumalib.synthesis.networks import build_network, count_halvings
from pumalib.synthesis.settings import EdmSettings

SHAPES = [(8, 8, 1), (8, 8, 3), (28, 28, 1), (32, 32, 3), (12, 20, 2), (7, 7, 1)]


def settings(network):
    return EdmSettings(
        method="edm",
        dataset="toy",
        network=network,
        width=16,
        num_blocks=2,
        steps=1,
        batch_size=1,
        learning_rate=1e-3,
        averaging=0.0,
        sampling_batch_size=1,
    )


def random_network(name, image_shape):
    """Build a network whose zero-initialised layers are random too, so that all inputs matter."""
    torch.manual_seed(0)
    network = build_network(settings(name), image_shape, num_classes=5).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network


def inputs(image_shape, batch=3):
    height, width, channels = image_shape
    generator = torch.Generator().manual_seed(1)
    images = torch.randn((batch, channels, height, width), generator=generator)
    return images, torch.linspace(-1, 1, batch), torch.arange(batch) % 5


@pytest.mark.parametrize("image_shape", SHAPES)
@pytest.mark.parametrize("name", ["mlp", "unet"])
def test_output_has_the_shape_of_the_input_and_starts_at_zero(name, image_shape):
    network = build_network(settings(name), image_shape, num_classes=5)
    images, noise_condition, labels = inputs(image_shape)
    output = network(images, noise_condition, labels)
    assert output.shape == images.shape
    assert not output.any()


@pytest.mark.parametrize("name", ["mlp", "unet"])
@pytest.mark.parametrize("changed", ["image", "noise", "label"])
def test_output_depends_on_image_noise_and_label_of_its_own_row_only(name, changed):
    network = random_network(name, (8, 8, 1))
    images, noise_condition, labels = inputs((8, 8, 1))
    with torch.no_grad():
        before = network(images, noise_condition, labels)
        {"image": images, "noise": noise_condition, "label": labels}[changed][1] += 1
        after = network(images, noise_condition, labels)
    assert not torch.allclose(before[1], after[1], atol=1e-3)
    torch.testing.assert_close(after[[0, 2]], before[[0, 2]])


def test_unet_sees_the_whole_image():
    network = random_network("unet", (32, 32, 1))
    images, noise_condition, labels = inputs((32, 32, 1), batch=1)
    images.requires_grad_()
    network(images, noise_condition, labels)[0, 0, 0, 0].backward()
    assert images.grad[0, 0, -1, -1] != 0


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(8, 8, 1), (28, 28, 2), (32, 32, 3), (64, 64, 3), (7, 7, 0), (30, 16, 1)],
)
def test_images_are_halved_while_even_and_large(height, width, expected):
    assert count_halvings(height, width) == expected
