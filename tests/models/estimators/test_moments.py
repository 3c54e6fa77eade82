"""Running mean and variance of samples."""

import torch

from models.estimators.moments import RunningMoments


def test_running_moments_are_those_of_all_samples_at_once():
    values = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0)).double() + 1e6
    moments = RunningMoments()
    for part in values.split([1, 499, 500]):
        moments.add(part)
    torch.testing.assert_close(moments.mean, values.mean(0), rtol=1e-14, atol=0)
    exact = values.std(0) / 1000**0.5
    torch.testing.assert_close(moments.standard_error(), exact, rtol=1e-9, atol=0)
