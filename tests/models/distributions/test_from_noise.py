"""The door: what a likelihood takes, and how it says what it does not take."""

import math

import pytest
import torch

from models.config import (
    BernoulliConfig,
    ContinuousBernoulliConfig,
    DiscretizedLogisticConfig,
    DiscretizedNormalConfig,
    NormalConfig,
)
from models.errors import OutOfSupport
from models.vae.likelihoods import LIKELIHOODS
from tests.models.likelihood_cases import CONFIGS, name_of

NOT_FINITE = [math.nan, math.inf, -math.inf]
REFUSED = [
    *[(BernoulliConfig(), v) for v in [*NOT_FINITE, 0.5, -1.0, 2.0, 1 + 1e-12]],
    *[(ContinuousBernoulliConfig(), v) for v in [*NOT_FINITE, -1e-12, 1 + 1e-12]],
    *[(DiscretizedLogisticConfig(levels=17), v) for v in [*NOT_FINITE, -1.0, 0.5, 17.0]],
    *[(DiscretizedNormalConfig(levels=2), v) for v in [*NOT_FINITE, -1.0, 0.5, 2.0]],
    *[(NormalConfig(), v) for v in NOT_FINITE],
]


@pytest.mark.parametrize(("config", "value"), REFUSED)
def test_a_value_outside_the_support_is_refused_by_item_and_value(config, value):
    module = LIKELIHOODS[config.kind](config, (1, 2, 2))
    x = torch.zeros(5, 1, 2, 2, dtype=torch.float64)
    x[1, 0, 1, 0] = value
    x[4] = value
    with pytest.raises(OutOfSupport) as caught:
        module.check_support(x)
    assert caught.value.items == tuple((i, f"received the value {value:g}") for i in (1, 4))
    assert module.support_words in str(caught.value)
    assert f"2 of 5 items do not (item 1: received the value {value:g})" in str(caught.value)


@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
def test_the_edges_of_the_support_are_inside(config):
    module = LIKELIHOODS[config.kind](config, (1, 2, 2))
    x = torch.zeros(2, 1, 2, 2, dtype=torch.float64)
    x[1] = module.unit_scale
    module.check_support(x)
