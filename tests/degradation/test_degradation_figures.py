"""figures/degradation.ipynb runs headless from committed files alone, and draws what is committed beside it."""

import nbformat
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from nbclient import NotebookClient

from llm_accuracy.degradation import figures, planning

NOTEBOOK = ROOT / "figures" / "degradation.ipynb"
FIGURES = ["degradation_1_introduction", "degradation_2_power", "degradation_3_p_values", "degradation_4_tasks",
           "degradation_5_peeking", "degradation_6_real_pairs"]


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook, run in an empty folder with nothing but the library and logs/."""
    folder = tmp_path_factory.mktemp("figures")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("LOGS", str(ROOT / "logs"))
        NotebookClient(notebook, timeout=200, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook, folder


def test_it_draws_every_figure(executed):
    notebook, folder = executed
    expected = sorted(f"{stem}.{kind}" for stem in FIGURES for kind in ("pdf", "png"))
    assert sorted(path.name for path in folder.iterdir()) == expected
    committed = sorted(path.name for path in NOTEBOOK.parent.glob("degradation_*"))
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
    table = pd.read_csv(ROOT / "logs" / "degradation_power_all.csv")
    for row in table.to_dict("records"):
        exact = planning.power(row["items"] * row["tasks"], row["flip"], row["drop"], row["alpha"])
        assert abs(row["pooled"] - exact) <= 4 * (exact * (1 - exact) / row["suites"]) ** 0.5 + 1e-3
    pairs = pd.read_csv(ROOT / "logs" / "degradation_pairs.csv").set_index("task")
    assert pairs.loc["mmlu_pro_llama3-8b-instruct_unquantized_vs_quantized", ["n", "b", "c"]].tolist() == [
        12_032, 1800, 1115]


def test_the_unpaired_test_misses_what_pairing_sees():
    """300 lost and 220 gained of 10,000: p = .109 one-sided (lm-eval's comparator is two-sided), against 2.6e-4."""
    assert figures.p_unpaired(10_000, 0.7, 300, 220) == pytest.approx(0.109, abs=1e-3)
    assert float(figures.p_exact(300, 220)) == pytest.approx(2.6e-4, rel=0.02)
