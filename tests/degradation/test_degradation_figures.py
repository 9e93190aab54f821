"""figures/degradation.ipynb runs headless from committed files alone, and draws what is committed beside it; what its
figures say and how they look; figures/degradation_logs.py makes its logs again."""

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from drawn import assert_told_apart, title
from nbclient import NotebookClient

from llm_accuracy.degradation import figures, planning
from llm_accuracy.degradation.paired import judge_counts
from llm_accuracy.palette import PALETTE

LOGS = ROOT / "logs"
NOTEBOOK = ROOT / "figures" / "degradation.ipynb"
FIGURES = ["degradation_1_introduction", "degradation_2_power", "degradation_3_p_values", "degradation_4_tasks",
           "degradation_5_peeking", "degradation_6_real_pairs", "degradation_7_few_answers"]


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook, run in an empty folder with nothing but the library and logs/."""
    folder = tmp_path_factory.mktemp("figures")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("LOGS", str(LOGS))
        NotebookClient(notebook, timeout=200, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook, folder


def test_it_draws_every_figure(executed):
    notebook, folder = executed
    expected = sorted(f"{stem}.{kind}" for stem in FIGURES for kind in ("pdf", "png"))
    assert sorted(path.name for path in folder.iterdir()) == expected
    committed = sorted(path.name for path in NOTEBOOK.parent.glob("degradation_[0-9]*"))
    assert committed == expected
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in shown) == len(FIGURES)
    assert not any(output.output_type in ("error", "stream") for output in shown)


def test_the_committed_figures_are_these(executed):
    """Pixel by pixel close, as fonts of another machine may differ a little."""
    from matplotlib.image import imread

    for stem in FIGURES:
        new, old = (imread(folder / f"{stem}.png")[..., :3] for folder in (executed[1], NOTEBOOK.parent))
        assert all(abs(a - b) <= 0.1 * b for a, b in zip(new.shape, old.shape, strict=True)), stem
        assert np.abs(new.mean() - old.mean()) < 0.03, stem
    committed = nbformat.read(NOTEBOOK, as_version=4)
    assert sum(bool(cell.outputs) for cell in committed.cells if cell.cell_type == "code") >= len(FIGURES)


def test_the_logs_agree_with_the_library():
    """The simulated power of the pooled test is that of one long task, within 4 standard errors."""
    table = pd.read_csv(LOGS / "degradation_power_all.csv")
    for row in table.to_dict("records"):
        exact = planning.power(row["items"] * row["tasks"], row["flip"], row["drop"], row["alpha"])
        assert abs(row["pooled"] - exact) <= 4 * (exact * (1 - exact) / row["suites"]) ** 0.5 + 1e-3
    pairs = pd.read_csv(LOGS / "degradation_pairs.csv").set_index("task")
    assert pairs.loc["mmlu_pro_llama3-8b-instruct_unquantized_vs_quantized", ["n", "b", "c"]].tolist() == [
        12_032, 1800, 1115]


def test_the_unpaired_test_misses_what_pairing_sees():
    """300 lost and 220 gained of 10,000: p = .109 one-sided (lm-eval's comparator is two-sided), against 2.6e-4."""
    assert figures.p_unpaired(10_000, 0.7, 300, 220) == pytest.approx(0.109, abs=1e-3)
    assert float(figures.p_exact(300, 220)) == pytest.approx(2.6e-4, rel=0.02)


def degradation_figures():
    tables = [pd.read_csv(LOGS / f"degradation_power_{damage}.csv") for damage in ("all", "one")]
    plan = {"n": 268, "flip": 0.1, "drop": 0.05, "power": 0.8}
    suite = pd.DataFrame({"items": [100, 268], "power": [0.5, 0.8]})
    results = [judge_counts(1000, *counts) for counts in ((100, 20), (100, 100), (1, 1))]
    rows = [(result.verdict, result, result.verdict) for result in results]
    assert len({verdict for *_, verdict in rows}) == 3
    yield figures.power_against_tasks(tables)
    yield figures.peeking(300, 0.1, 50)
    yield figures.power_against_items(plan, 0.05, flips=[0.08, 0.12])
    yield figures.power_against_items(plan, 0.05, tasks=4, table=suite)
    yield figures.few_answers(pd.read_csv(LOGS / "few_answers_questions.csv"))
    yield figures.forest(rows)
    yield figures.forest(rows, figures.verdicts_point(rows))


def test_no_two_series_of_a_figure_look_alike():
    assert_told_apart(degradation_figures())
    assert {colour for colour, *_ in figures.LOOKS.values()} <= set(PALETTE.values())


def test_titles_come_from_what_is_drawn():
    drop = [100 * planning.detectable_drop(n, 0.1) for n in (300, 2000)]
    assert title(figures.power_map([300, 2000], points=8)).endswith(
        f"300 items find a drop of {drop[0]:.2g} points, 2,000 items find a drop of {drop[1]:.2g} points")
    exact = max(c for c in range(31) if judge_counts(500, 30, c).p <= 0.05)
    figure = figures.p_value_maps(500, 0.7, largest=30)
    assert f"With 30 of 500 items lost, the exact test sees a drop if up to {exact} others" in title(figure)
    assert all(axis.texts[0].get_text() == "p = .05" for axis in figure.axes[:3])
    tables = [pd.DataFrame({"tasks": [1, 8], "pooled": [0.5, pooled], "max-drop": [0.5, 1 - pooled], "Fisher": 0.5,
                            "combined": [0.5, 0.8], "suites": 1000, "damage": damage, "items": 500, "flip": 0.1,
                            "drop": 0.02}) for damage, pooled in (("all", 0.9), ("one", 0.2))]
    assert title(figures.power_against_tasks(tables)).endswith(
        "at most 10 points of power behind the best one, pooling up to 60 and max-drop up to 80")
    few = pd.DataFrame({"n": 2000, "flips": [0.01, 0.1], "runs": 9, "margins_default": [200, 1000],
                        "threshold_passes_at_margin": [0.4, 0.5]}).assign(
        **dict.fromkeys(("srs_watched", "srs_fixed_exact", "no_margins", "threshold_passes"), 1))
    assert title(figures.few_answers(few)) == (
        "10 to 50 % of 2,000 questions are enough, chosen by margins; a threshold on as many passes 40 to 50 % of "
        "candidates that lost the point")
    results = [judge_counts(1000, 100, 20), judge_counts(1000, 1, 1), judge_counts(90, 3, 3), judge_counts(700, 40, 40)]
    assert figures.verdicts_point([("", result, result.verdict) for result in results]) == (
        "Of 4 pairs 1 got worse, 1 did not by 1 point or more, and 2, of at most 700 items, cannot be told")


def test_the_degradation_logs_come_out_again(script, tmp_path, shared):
    """From the real pairs: the committed tables to 12 digits (the last ones of an interval differ by machine)."""
    script("figures/degradation_logs.py", "--logs-dir", tmp_path, "--pairs", shared / "data" / "pairs")
    for name in ("degradation_power_all", "degradation_power_one"):
        assert (tmp_path / f"{name}.csv").read_bytes() == (LOGS / f"{name}.csv").read_bytes()
    new, old = (pd.read_csv(folder / "degradation_pairs.csv") for folder in (tmp_path, LOGS))
    pd.testing.assert_frame_equal(new, old, rtol=1e-12, atol=1e-12)


def test_half_a_pair_is_refused(script, tmp_path):
    (tmp_path / "a.baseline.csv").write_text("prompt_id,score\n1,1\n")
    done = script("figures/degradation_logs.py", "--pairs", tmp_path, "--logs-dir", tmp_path / "logs", code=2)
    assert "a has no other half" in done.stderr and not (tmp_path / "logs").exists()
