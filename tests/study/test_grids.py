"""Grids, budgets, keys."""

import pytest

from llm_accuracy.errors import InputError
from llm_accuracy.querying.setting import Setting
from llm_accuracy.randomness import uniforms
from llm_accuracy.scores.scenario import Scenario
from llm_accuracy.study.grids import TIERS, parse_budgets, tier_budgets, train_rows


def test_tier_budgets_are_integer_fortieths():
    assert tier_budgets(TIERS["paper"], 12_032) == tuple(12_032 * k // 40 for k in range(1, 11))
    assert tier_budgets(TIERS["laptop"], 2000) == (50, 100, 200, 500)
    assert tier_budgets(TIERS["laptop"], 3) == (1,)


def test_budgets_as_numbers_and_shares():
    assert parse_budgets(["300", "5%", "2.5%"], 12_032, "d") == (300, 601)
    assert parse_budgets(["100%"], 7, "d") == (7,)
    assert parse_budgets(["29%"], 100, "d") == (29,)  # 100 * 0.29 is 28.999… in floats


@pytest.mark.parametrize("text", ["0", "-5", "12033", "0.001%", "101%", "0.05", "many", "5 %"])
def test_bad_budgets(text):
    with pytest.raises(InputError, match="--budgets"):
        parse_budgets([text], 12_032, "d")


def test_every_grid_is_sound():
    for tier in TIERS.values():
        for key in tier.scenarios:
            assert Scenario.parse(key).key == key
        for setting in tier.val_settings:
            assert Setting.parse(setting.key) == setting
        assert len(set(tier.val_settings)) == len(tier.val_settings)
    assert len(TIERS["paper"].val_settings) == 4 * 5 * 5 * 4 and len(TIERS["paper"].scenarios) == 8


def test_ranks_follow_the_rows_only_at_the_laptop_tier():
    assert TIERS["laptop"].rank_grid(120) == (1, 2, 4, 8, 16)
    assert TIERS["laptop"].rank_grid(3) == (1,)
    assert TIERS["paper"].rank_grid(120) == (8, 16, 32, 64)
    assert train_rows(2212) == 1769 and train_rows(17) == 13


@pytest.mark.parametrize("key", ["", "beta0=1", "beta0=1.0_rho=0.0_gamma=0.0_tau=0.0", "beta0=2.0_rho=0_gamma=0_tau=1"])
def test_bad_settings(key):
    with pytest.raises(InputError, match="setting"):
        Setting.parse(key)


def test_draws_are_a_function_of_the_key_alone():
    whole = uniforms("d", "s", 3, ["a", "b", "c"], 50)
    assert (uniforms("d", "s", 3, ["c", "a"], 20) == whole[[2, 0], :20]).all()
    for other in (("e", "s", 3), ("d", "t", 3), ("d", "s", 4)):
        assert not (uniforms(*other, ["a"], 50) == whole[0]).any()
    assert abs(whole.mean() - 0.5) < 4 / (12 * whole.size) ** 0.5
