from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from pumalib import ArchitectureSettings, ThreatSettings, build_model, evaluate
from pumalib.models.folding import Folding


def shaken(model: nn.Module) -> nn.Module:
    """Return the model in eval mode with statistics and weights of BatchNorm that are not those of the beginning."""
    generator = torch.Generator().manual_seed(0)
    for layer in model.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.running_mean is not None:
            layer.running_mean.normal_(0, 0.3, generator=generator)
            layer.running_var.uniform_(0.3, 3, generator=generator)
            if layer.affine:
                nn.init.uniform_(layer.weight, 0.5, 2, generator=generator)
                nn.init.normal_(layer.bias, generator=generator)
    return model.eval()


class Calls:
    """Counts how often BatchNorm layers normalise."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        forward = nn.modules.batchnorm._BatchNorm.forward

        def counted(layer: nn.modules.batchnorm._BatchNorm, images: Tensor) -> Tensor:
            self.count += 1
            return forward(layer, images)

        monkeypatch.setattr(nn.modules.batchnorm._BatchNorm, "forward", counted)


def an_image_batch(channels: int = 3, size: int = 16) -> Tensor:
    return torch.rand(5, channels, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("name", "num_layers", "num_folded"),
    [
        ("convnet", 4, 4),
        ("resnet-18", 20, 20),
        ("preactresnet-18", 17, 8),
        ("wrn-10-1", 7, 3),
        ("timm:resnet10t", 14, 14),
    ],
)
def test_a_folded_network_gives_the_same_logits_and_gradients_with_fewer_layers(
    name: str, num_layers: int, num_folded: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = shaken(build_model(ArchitectureSettings(name=name), (16, 16, 3), 10))
    images = an_image_batch().requires_grad_()
    expected = model(images)
    (gradient,) = torch.autograd.grad(expected.square().sum(), images)
    folding, calls = Folding(model), Calls(monkeypatch)
    with folding.applied():
        logits = model(images)
    largest = float(expected.detach().abs().max())
    assert (len(folding), calls.count) == (num_folded, num_layers - num_folded)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5 * largest)
    (folded,) = torch.autograd.grad(logits.square().sum(), images)
    torch.testing.assert_close(folded, gradient, rtol=1e-3, atol=1e-4 * float(gradient.abs().max()))


def stop_while_folded(model: nn.Module) -> None:
    with Folding(model).applied():
        images = torch.rand(2, 16, 4, 4)
        assert all(layer(images) is images for layer in model.modules() if isinstance(layer, nn.BatchNorm2d))
        raise KeyboardInterrupt


def test_the_model_is_as_it_was_afterwards_also_after_an_error() -> None:
    model = shaken(build_model(ArchitectureSettings(name="convnet"), (16, 16, 3), 10))
    modules = dict(model.named_modules())
    tensors = {name: (tensor, tensor.clone()) for name, tensor in model.state_dict(keep_vars=True).items()}
    with pytest.raises(KeyboardInterrupt):
        stop_while_folded(model)
    assert not any("forward" in vars(module) for module in model.modules())
    assert list(modules) == list(dict(model.named_modules()))
    assert all(modules[name] is module for name, module in model.named_modules())
    assert list(tensors) == list(model.state_dict())
    for name, tensor in model.state_dict(keep_vars=True).items():
        assert tensor is tensors[name][0]
        assert torch.equal(tensor, tensors[name][1])


def test_weights_and_statistics_are_those_of_the_moment() -> None:
    model = shaken(build_model(ArchitectureSettings(name="convnet"), (16, 16, 3), 10))
    folding, images = Folding(model), an_image_batch()
    for seed in range(2):
        torch.manual_seed(seed)
        for tensor in (*model.parameters(), *(layer.running_var for layer in model.modules() if hasattr(layer, "eps"))):
            tensor.data.uniform_(0.5, 1)
        expected = model(images)
        with folding.applied():
            torch.testing.assert_close(
                model(images), expected, rtol=1e-4, atol=1e-5 * float(expected.detach().abs().max())
            )


def test_a_folded_layer_is_not_folded_again() -> None:
    model = shaken(build_model(ArchitectureSettings(name="convnet"), (16, 16, 3), 10))
    outer, inner, images = Folding(model), Folding(model), an_image_batch()
    with outer.applied():
        expected = model(images)
        with inner.applied():
            assert torch.equal(model(images), expected)
            assert len(Folding(model)) == 0
        assert torch.equal(model(images), expected)


def test_layers_in_train_mode_stay() -> None:
    model = shaken(build_model(ArchitectureSettings(name="convnet"), (16, 16, 3), 10))
    folding, images = Folding(model), an_image_batch()
    model.train()
    before = model[0].norm.running_mean.clone()  # type: ignore[index]
    with folding.applied():
        model(images)
    assert not torch.equal(model[0].norm.running_mean, before)  # type: ignore[index]


class Net(nn.Module):
    """A convolution and a normalisation, called as `forward` of a test says."""

    def __init__(self, call: "Callable[[Net, Tensor], Tensor]") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution, self.norm, self.call = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), call

    def forward(self, images: Tensor) -> Tensor:
        return self.call(self, images)


def plainly(net: Net, images: Tensor) -> Tensor:
    features: Tensor = net.norm(net.convolution(images))
    return features


def with_a_branch(net: Net, images: Tensor) -> Tensor:
    features: Tensor = net.convolution(images)
    return net.norm(features) + features


def twice(net: Net, images: Tensor) -> Tensor:
    return plainly(net, plainly(net, images))


def looking_at_the_weights(net: Net, images: Tensor) -> Tensor:
    return plainly(net, images) + net.convolution.weight.sum()


def after_an_activation(net: Net, images: Tensor) -> Tensor:
    features: Tensor = net.norm(net.convolution(images).relu())
    return features


def as_the_images_say(net: Net, images: Tensor) -> Tensor:
    return plainly(net, images) if bool(images.sum() > 0) else images


@pytest.mark.parametrize(
    ("call", "num_folded"),
    [(plainly, 1), (with_a_branch, 0), (twice, 0), (looking_at_the_weights, 0), (after_an_activation, 0),
     (as_the_images_say, 0)],
)  # fmt: skip
def test_what_a_convolution_cannot_take_over_stays(call: Callable[[Net, Tensor], Tensor], num_folded: int) -> None:
    model, images = shaken(Net(call)), an_image_batch()
    folding, expected = Folding(model), model(images)
    assert len(folding) == num_folded
    with folding.applied():
        torch.testing.assert_close(model(images), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("part", ["convolution", "norm"])
def test_what_has_a_hook_stays(part: str) -> None:
    model = shaken(Net(plainly))
    model.get_submodule(part).register_forward_hook(lambda module, inputs, output: output + 1)
    assert len(Folding(model)) == 0


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm2d(3, track_running_stats=False), nn.SyncBatchNorm(3), nn.InstanceNorm2d(3)]
)
def test_other_normalisations_stay(norm: nn.Module) -> None:
    model = Net(plainly)
    model.norm = norm  # type: ignore[assignment]
    assert len(Folding(model.eval())) == 0


def test_a_convolution_with_a_weight_of_its_own_making_stays() -> None:
    model = Net(plainly)
    model.convolution = nn.utils.parametrizations.weight_norm(model.convolution)
    assert len(Folding(shaken(model))) == 0


def test_a_layer_with_a_forward_of_its_own_stays() -> None:
    model = shaken(Net(plainly))
    model.norm.forward = lambda images: images * 2  # type: ignore[method-assign]
    assert len(Folding(model)) == 0


def test_it_does_not_matter_on_what_way_a_model_reaches_its_layers() -> None:
    def past_the_names(net: Net, images: Tensor) -> Tensor:
        features: Tensor = net.layers[1](net.layers[0](images))  # type: ignore[index, operator]
        return features

    model, images = Net(past_the_names), an_image_batch()
    model.layers = [model.convolution, model.norm]  # type: ignore[assignment]
    folding, expected = Folding(shaken(model)), model(images)
    assert len(folding) == 1
    with folding.applied():
        torch.testing.assert_close(model(images), expected, rtol=1e-4, atol=1e-5)


def test_tracing_leaves_the_model_alone() -> None:
    class Remembering(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last: object = None

        def forward(self, images: Tensor) -> Tensor:
            self.last = images
            return images

    model = nn.Sequential(Remembering(), Net(plainly))
    assert len(Folding(shaken(model))) == 1
    assert model[0].last is None


def test_an_evaluation_leaves_a_model_of_batch_norms_as_it_was() -> None:
    model = shaken(build_model(ArchitectureSettings(name="convnet"), (16, 16, 3), 10))
    images, modules = an_image_batch(), dict(model.named_modules())
    labels = model(images).argmax(1)
    table = evaluate(model, images, labels, threat=ThreatSettings(epsilon=1e-6))
    assert table.clean_accuracy == 1
    assert all(modules[name] is module for name, module in model.named_modules())
