"""Verdicts keep their error rate where their null holds, and err where only that fails: simulated, with fixed seeds."""

import gate_sizes
import pytest


def test_a_table_of_sizes():
    """The gating part: 1 % of the trials, at least 200 a cell."""
    results = gate_sizes.measured(share=0.01)
    assert not gate_sizes.judged(results)
    errs = {(cell.test, cell.population): errors / trials for cell, trials, errors in results}
    raw = [rate for (_, population), rate in errs.items() if "all runs averaged" in population]
    assert min(raw) > 0.12, "the null that is avoided no longer hurts: the simulation has changed"


def test_a_test_above_its_level_is_found():
    """The judge finds a size of .06 among 20,000 trials, and not one of .05."""
    cell = gate_sizes.CELLS[0]
    for errors, wrong in ((1_200, 1), (1_000, 0)):
        assert len(gate_sizes.judged([(cell, 20_000, errors), *[(other, 1_000, 40) for other in
                                                              gate_sizes.CELLS[1:]]])) == wrong


@pytest.mark.long
def test_the_whole_table_of_sizes():
    assert not gate_sizes.judged(gate_sizes.measured())
