"""Random storms over real engines in virtual time. A failing seed fails the same way again.

More of them: ``python -m tests.models.storms 0 1000``.
"""

import pytest

from tests.models.simulation import simulate

SEEDS = range(15)


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_dies_hangs_or_comes_late_nothing_is_lost_out_of_order_or_sent_twice_blindly(seed: int) -> None:
    world = simulate(seed, forgetful=False)
    assert len(world.dispatches) > 50


@pytest.mark.parametrize("seed", SEEDS)
def test_a_redis_that_is_emptied_on_top_of_it_loses_nothing_and_what_goes_out_twice_is_flagged(seed: int) -> None:
    world = simulate(seed, forgetful=True)
    assert len(world.dispatches) > 50
