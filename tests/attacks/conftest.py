import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from sklearn.datasets import load_digits
from torch import nn


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def digits():
    """Return the digits: images [N, 1, 8, 8] in [0, 1] and labels [N]."""
    data = load_digits()
    return torch.from_numpy(data.images).float().div(16)[:, None], torch.from_numpy(data.target).long()


@pytest.fixture(scope="session")
def digits_net(digits):
    """Return a small convolutional net after a few epochs on the first thousand digits, in eval mode."""
    images, labels = digits[0][:1000], digits[1][:1000]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(256, 10),
        )
        optimizer = torch.optim.Adam(model.parameters(), 0.005)
        for _ in range(5):
            for rows in torch.randperm(1000).split(100):
                optimizer.zero_grad()
                F.cross_entropy(model(images[rows]), labels[rows]).backward()
                optimizer.step()
    model.zero_grad()
    return model.eval()
