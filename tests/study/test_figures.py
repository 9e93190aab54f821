"""The drawing code: what tells series apart, what sets a scale, what a title says, and which command makes a log."""

import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from drawn import assert_told_apart, looks, title

from llm_accuracy import palette
from llm_accuracy.errors import InputError
from llm_accuracy.study import figures

LOGS = ROOT / "logs"


@pytest.fixture(scope="module")
def logs():
    return figures.StudyLogs.read(LOGS)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def study_figures(logs):
    for dataset in logs.datasets:
        cell = logs.of(dataset, *logs.table["name"].unique())
        for part in figures.parts(cell):
            yield figures.by_scenario(part, ("ess_width", "coverage"))
        everything = cell[cell["scenario"] == figures.EVERYTHING]
        yield figures.by_scenario(everything, ("ess_width", "ess_mse", "coverage"), across=True)


def test_no_two_series_of_a_figure_look_alike(logs):
    drawn = [*study_figures(logs)]
    assert max(len(looks(figure)) for figure in drawn) >= 8
    assert_told_apart(drawn)


def test_the_same_orange_twice_is_noticed():
    """What went wrong before: two lines of one colour and no marker."""
    figure, axis = plt.subplots()
    for label in ("exact", "e-value"):
        axis.plot([0, 1], color="#D55E00", label=label)
    with pytest.raises(AssertionError, match="e-value"):
        assert_told_apart([figure])


def test_methods_of_any_name_differ():
    names = [*(name for name in palette.STYLES if name != "FAQ (with)"), *(f"my method {i}" for i in range(60))]
    seen = {tuple(palette.style(name, names)[key] for key in ("color", "marker", "linestyle")) for name in names}
    assert len(seen) == len(names)


def test_the_palette_alone_loads_no_matplotlib():
    code = "import sys, llm_accuracy.palette; assert not {'matplotlib', 'pandas', 'numpy'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_every_colour_is_of_the_palette():
    assert {colour for colour, *_ in palette.STYLES.values()} <= set(palette.PALETTE.values())


def test_an_oracle_does_not_set_the_scale(logs):
    names = ("uniform (SRS)", figures.OURS, "oracle")
    cell = logs.of("simulated", *names, scenario=figures.EVERYTHING)
    assert set(cell["name"]) == set(names)
    figure = figures.ess_and_coverage(cell)
    axis = figure.axes[0]
    best = cell.loc[cell["name"] == figures.OURS, "ess_width"].max()
    oracle = cell.loc[cell["name"] == "oracle", "ess_width"]
    assert f"by {figures.OURS} is worth up to {best:.1f} random" in title(figure)
    assert best < axis.get_ylim()[1] < 1.5 * best < oracle.min()
    assert [text.get_text() for text in axis.texts] == [f"↑ oracle: {oracle.min():.1f} to {oracle.max():.1f}"]


def test_a_coverage_panel_shows_every_point_and_the_aim(logs):
    cell = logs.of("simulated", "uniform (SRS)", figures.OURS, scenario=figures.EVERYTHING)
    *_, axis = figures.by_scenario(cell, ("ess_width", "coverage"), across=True).axes
    low, high = axis.get_ylim()
    assert low < 100 * cell["coverage"].min() and 100 * cell["coverage"].max() < high
    assert low < 93 and high > 97 and high - low < 10
    drawn = np.concatenate([bars.lines[0].get_xdata() for bars in axis.containers])
    assert len(np.unique(drawn)) == len(cell), "no point hides another"


def test_a_coverage_band_stays_within_0_and_100():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"budget": 10, "share": 0.1, "coverage": rng.choice([0.0, 0.6, 1.0], 60),
                         "created_date": "2025-01-01", "accuracy": rng.random(60)})
    figure = figures.coverage_audit(rows)
    for axis in figure.axes:
        y = axis.collections[0].get_paths()[0].vertices[:, 1]
        assert y.min() >= 0 and y.max() == 100


@pytest.mark.parametrize("ess, batch, kept, fall", [
    ((5.0, 4.9, 4.6, 2.0), 64, 92, "; at 512 only 40 %"),
    ((5.0, 4.0, 4.9, 2.0), 1, 100, "; at 8 only 80 %, at 512 only 40 %"),
    ((5.0, 4.9, 4.8, 4.7), 512, 94, ""),
])
def test_the_title_of_batches_tells_the_fall_too(ess, batch, kept, fall):
    table = pd.DataFrame({"dataset": "board", "scenario": figures.EVERYTHING, "budget": 1203, "batch": [1, 8, 64, 512],
                          "ess_width": ess, "models": 443, "seeds": [20, 5, 5, 5]})
    shuffled = table.sample(frac=1, random_state=0)
    assert figures.batches_point(shuffled, "growing rounds") == (
        f"With up to {batch} of 1,203 questions asked in the first round, growing rounds keep {kept} % of their "
        f"effective sample size{fall}")
    assert figures.batches_note(shuffled) == ("board, all of the history: 443 new models; 20 seeds of 1 at first; "
                                            "5 seeds of 8, 64, 512 at first; bars ±1 SE")


def test_the_logs_of_a_study_are_read_with_those_inside_it(logs):
    assert logs.datasets == ["simulated", "open_llm_leaderboard_v2", "twin"]
    for dataset in logs.datasets:
        assert set(logs.of(dataset, figures.OURS, "uniform (SRS)")["name"]) == {figures.OURS, "uniform (SRS)"}
    assert logs.of("twin", "uniform (SRS)").empty, "nothing to compare with"
    with pytest.raises(InputError, match=r"nowhere.faq_coverage.csv: no such file; python faq_coverage.py makes it"):
        figures.StudyLogs.read("nowhere")


def test_scenarios_are_drawn_by_how_much_of_the_history_is_seen(logs):
    scenarios = logs.of("open_llm_leaderboard_v2", figures.OURS)["scenario"]
    drawn = [figures.scenario_name(one) for one in dict.fromkeys(scenarios)]
    assert drawn[:5] == ["all of the history", *(f"{models} models + 43.7 %" for models in (77, 19, 5)),
                         "4.37 % of the history"]


def test_the_title_of_widths_names_the_narrowest():
    widths = pd.DataFrame({"growing rounds": [1.0, 2, 4], "FAQ": [2.0, 1, 3], "oracle": [0.1, 0.1, 0.1]})
    assert figures.narrowest_point(widths, "FAQ") == "Narrowest at equal coverage: FAQ, at 2 of 3 budgets"
    assert figures.narrowest_point(widths, "growing rounds") == (
        "Narrowest at equal coverage: FAQ, at 2 of 3 budgets; growing rounds at 1")


def test_a_missing_log_is_named_with_its_command(script, tmp_path):
    done = script("figures/draw.py", "--logs-dir", tmp_path, code=2)
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    for part in (f"has no summary.csv, faq_coverage.csv: make laptop LOGS={tmp_path} makes them",
                 f"has no degradation_pairs.csv: make degradation-logs LOGS={tmp_path} PAIRS=FOLDER makes it"):
        assert part in done.stderr
