"""Write logs with lm-evaluation-harness's own tracker: run by the interpreter that has it, not by pytest.

    python write_lm_eval.py RUNS.json FOLDER      RUNS.json: a list of {question: score or null}, one a run

FOLDER/<number>/org__m/ then holds results_<time>.json and samples_t_<time>.jsonl of each.
"""

import hashlib
import json
import sys
from pathlib import Path

from lm_eval.loggers import EvaluationTracker


def sample(number: int, question: str, score: float | None) -> dict:
    doc = {"q": question}
    digest = hashlib.sha256(json.dumps(doc).encode()).hexdigest()
    return {"doc_id": number, "doc": doc, "target": "a", "arguments": [(question, "a")], "resps": [[(-1.0, True)]],
            "filtered_resps": [(-1.0, True)], "filter": "none", "metrics": ["acc"], "doc_hash": digest,
            "prompt_hash": digest, "target_hash": hashlib.sha256(b"a").hexdigest(), "acc": score}


def main():
    runs, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    for number, rows in enumerate(runs):
        samples = [sample(i, question, score) for i, (question, score) in enumerate(rows.items())]
        results = {"results": {"t": {"alias": "t"}}, "higher_is_better": {"t": {"acc": True}}, "n-shot": {"t": 0},
                   "configs": {"t": {}}, "n-samples": {"t": {"original": len(rows), "effective": len(rows)}},
                   "config": {"model": "hf", "model_args": "pretrained=org/m", "limit": None}}
        tracker = EvaluationTracker(output_path=str(folder / str(number)))
        tracker.general_config_tracker.log_experiment_args(
            model_source="hf", model_args="pretrained=org/m", system_instruction=None, chat_template=None,
            fewshot_as_multiturn=False)
        tracker.save_results_aggregated(results=results, samples={"t": samples})
        tracker.save_results_samples(task_name="t", samples=samples)


if __name__ == "__main__":
    main()
