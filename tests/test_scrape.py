"""The scraper, run as a script with the real huggingface_hub client against a stand-in hub on real sockets."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from hub_server import TOKEN, StandIn
from leaderboard_board import Entry, board

from llm_accuracy.responses import Dataset

ROOT = Path(__file__).resolve().parents[1]
SMALL, LARGE = "bbh+gpqa+ifeval+math+musr", "mmlu-pro"


def scrape(hub: StandIn, folder: Path, *flags, token=TOKEN, env=None):
    """Run the script; the user's home and hub folders are inside `folder`."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    environment |= {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(folder / "home"), "HF_HUB_DISABLE_TELEMETRY": "1",
                    **({"HF_TOKEN": token} if token else {}), **(env or {})}
    return subprocess.run(
        [sys.executable, ROOT / "data" / "scrape_leaderboard.py", "--raw-dir", folder / "raw", "--data-dir",
         folder / "processed", "--wait", "0.01", *map(str, flags)],
        env=environment, capture_output=True, text=True, timeout=100)


def test_one_model_of_one_suite_arrives_whole(tmp_path):
    entries = [Entry("org/first", "2024-01-01", "2024"), Entry("org/second", "2024-02-01")]
    with StandIn(board(entries, [LARGE])) as hub:
        done = scrape(hub, tmp_path, "--datasets", LARGE)
    assert done.returncode == 0, done.stderr
    dataset = Dataset(tmp_path / "processed", LARGE)
    history, new = dataset.history(), dataset.new_models()
    assert history.models.tolist() == ["org/first"] and new.models.tolist() == ["org/second"]
    assert np.array_equal(history.scores[0], entries[0].answers["mmlu_pro"])
    assert np.array_equal(new.scores[0], entries[1].answers["mmlu_pro"])
