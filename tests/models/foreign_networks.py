"""Networks of other training codes, written here from their layouts: their names, padding and pooling."""

import torch
from torch import nn
from torch.nn.functional import avg_pool2d, pad, relu


def conv(in_channels, channels, size=3, stride=1, padding=1):
    return nn.Conv2d(in_channels, channels, size, stride, padding, bias=False)


class CifarBlock(nn.Module):
    def __init__(self, in_channels, channels, stride):
        super().__init__()
        self.conv1, self.bn1 = conv(in_channels, channels, stride=stride), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = conv(channels, channels), nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Sequential(conv(in_channels, channels, 1, stride, 0), nn.BatchNorm2d(channels))

    def forward(self, x):
        out = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        return relu(out + self.shortcut(x))


class CifarPreActBlock(nn.Module):
    def __init__(self, in_channels, channels, stride):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(in_channels), conv(in_channels, channels, stride=stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(channels), conv(channels, channels)
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Sequential(conv(in_channels, channels, 1, stride, 0))

    def forward(self, x):
        out = relu(self.bn1(x))
        shortcut = self.shortcut(out) if hasattr(self, "shortcut") else x
        return self.conv2(relu(self.bn2(self.conv1(out)))) + shortcut


class CifarNet(nn.Module):
    """ResNet-18 and PreActResNet-18 for CIFAR-10; the norm is `bn1` after the stem, or `bn` at the end, or nowhere."""

    def __init__(self, block, norm, head="linear", channels=3, num_blocks=2):
        super().__init__()
        self.names = (norm, head)
        self.conv1 = conv(channels, 64)
        widths = [64, 64, 128, 256, 512]
        for stage in range(4):
            strides = [2 if stage else 1, *[1] * (num_blocks - 1)]
            blocks = [
                block(widths[stage + (index > 0)], widths[stage + 1], stride) for index, stride in enumerate(strides)
            ]
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        if norm:
            setattr(self, norm, nn.BatchNorm2d(64 if norm == "bn1" else 512))
        setattr(self, head, nn.Linear(512, 10))

    def forward(self, x):
        norm, head = self.names
        out = self.conv1(x)
        out = relu(self.bn1(out)) if norm == "bn1" else out
        out = self.layer4(self.layer3(self.layer2(self.layer1(out))))
        out = relu(self.bn(out)) if norm == "bn" else out
        return getattr(self, head)(avg_pool2d(out, 4).flatten(1))


class TradesBlock(nn.Module):
    def __init__(self, in_channels, channels, stride):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(in_channels), conv(in_channels, channels, stride=stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(channels), conv(channels, channels)
        self.convShortcut = conv(in_channels, channels, 1, stride, 0) if in_channels != channels else None

    def forward(self, x):
        activated = relu(self.bn1(x))
        out = self.conv2(relu(self.bn2(self.conv1(activated))))
        return out + (x if self.convShortcut is None else self.convShortcut(activated))


class Group(nn.Module):
    def __init__(self, name, blocks):
        super().__init__()
        self.name = name
        setattr(self, name, nn.Sequential(*blocks))

    def forward(self, x):
        return getattr(self, self.name)(x)


def wide_group(block, name, depth, in_channels, channels, stride):
    later = [block(channels, channels, 1) for _ in range((depth - 4) // 6 - 1)]
    return Group(name, [block(in_channels, channels, stride), *later])


class TradesWideNet(nn.Module):
    def __init__(self, depth, factor, channels=3, num_classes=10, has_unused=False):
        super().__init__()
        self.conv1 = conv(channels, 16)
        self.block1 = wide_group(TradesBlock, "layer", depth, 16, 16 * factor, 1)
        if has_unused:
            self.sub_block1 = wide_group(TradesBlock, "layer", depth, 16, 16 * factor, 1)
        self.block2 = wide_group(TradesBlock, "layer", depth, 16 * factor, 32 * factor, 2)
        self.block3 = wide_group(TradesBlock, "layer", depth, 32 * factor, 64 * factor, 2)
        self.bn1 = nn.BatchNorm2d(64 * factor)
        self.fc = nn.Linear(64 * factor, num_classes)

    def forward(self, x):
        out = self.block3(self.block2(self.block1(self.conv1(x))))
        return self.fc(avg_pool2d(relu(self.bn1(out)), 8).flatten(1))


class GowalBlock(nn.Module):
    activation = staticmethod(relu)

    def __init__(self, in_channels, channels, stride):
        super().__init__()
        self.batchnorm_0, self.conv_0 = nn.BatchNorm2d(in_channels), conv(in_channels, channels, 3, stride, 0)
        self.batchnorm_1, self.conv_1 = nn.BatchNorm2d(channels), conv(channels, channels)
        self.shortcut = conv(in_channels, channels, 1, stride, 0) if in_channels != channels else None
        self.pads = (1, 1, 1, 1) if stride == 1 else (0, 1, 0, 1)

    def forward(self, x):
        activated = self.activation(self.batchnorm_0(x))
        out = self.conv_0(pad(activated, self.pads))
        out = self.conv_1(self.activation(self.batchnorm_1(out)))
        return out + (x if self.shortcut is None else self.shortcut(activated))


class SwishGowalBlock(GowalBlock):
    activation = staticmethod(lambda x: x * torch.sigmoid(x))


class GowalNet(nn.Module):
    """The wide network of Gowal et al. 2020; `keeps_constants` says whether its files hold mean and std."""

    def __init__(self, depth, factor, block=SwishGowalBlock, channels=3, num_classes=10, keeps_constants=True):
        super().__init__()
        self.activation = block.activation
        mean, std = torch.tensor([0.4914, 0.4822, 0.4465]), torch.tensor([0.2471, 0.2435, 0.2616])
        self.register_buffer("mean", mean[:channels].view(-1, 1, 1), persistent=keeps_constants)
        self.register_buffer("std", std[:channels].view(-1, 1, 1), persistent=keeps_constants)
        self.init_conv = conv(channels, 16)
        self.layer = nn.Sequential(
            wide_group(block, "block", depth, 16, 16 * factor, 1),
            wide_group(block, "block", depth, 16 * factor, 32 * factor, 2),
            wide_group(block, "block", depth, 32 * factor, 64 * factor, 2),
        )
        self.batchnorm = nn.BatchNorm2d(64 * factor)
        self.logits = nn.Linear(64 * factor, num_classes)

    def forward(self, x):
        out = self.layer(self.init_conv((x - self.mean) / self.std))
        return self.logits(avg_pool2d(self.activation(self.batchnorm(out)), 8).flatten(1))


class Normalize(nn.Module):
    """A normalising layer of its own, as models are wrapped in."""

    def __init__(self, names=("mean", "std"), persistent=True):
        super().__init__()
        self.names = names
        for name, values in zip(names, ([0.5, 0.4, 0.3], [0.2, 0.3, 0.4]), strict=True):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=persistent)

    def forward(self, x):
        mean, std = (getattr(self, name) for name in self.names)
        return (x - mean) / std


def randomized(model, seed=0):
    """Give every weight and statistic a random value, so that none of them can be mixed up unseen."""
    generator = torch.Generator().manual_seed(seed)
    constants = ("mean", "std", "mu", "sigma")
    for name, tensor in model.state_dict().items():
        if name.rpartition(".")[2] in constants or not tensor.is_floating_point():
            continue
        noise = torch.randn(tensor.shape, generator=generator)
        if "var" in name:
            noise = torch.rand(tensor.shape, generator=generator) + 0.5
        # A small gain keeps the logits of a deep random network in range.
        tensor.copy_(noise if tensor.ndim == 1 else noise * tensor[0].numel() ** -0.5)
    return model.eval()
