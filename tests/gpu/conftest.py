"""What all tests on a real GPU share."""

import pytest
import torch

from pumalib.jobs.devices import use_precision


@pytest.fixture(autouse=True, scope="module")
def _float32():
    """Compute in float32, as jobs do: torch's own default rounds the factors of convolutions."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    use_precision(tf32=False)
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
