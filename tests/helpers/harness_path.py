"""Imported first by helpers that run lm-evaluation-harness: its packages, last on the path, and no network."""

import os
import sys
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
sys.path += map(str, (ROOT / ".venv-lm-eval" / "lib").glob("python3*/site-packages"))  # last, so that .venv's own win
