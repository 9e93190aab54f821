"""Writes results of evalplus with evalplus itself, on four problems of our own in place of HumanEval+.

    python tests/helpers/write_evalplus.py FOLDER

tests/data/evalplus_0_3 was made so, with evalplus 0.3.1: `one_eval_results.json` of one solution a problem,
`two_eval_results.json` of two, `base_eval_results.json` of the base tests only. It runs the solutions below.
"""

import json
import os
import sys
from pathlib import Path

PROBLEMS = {  # task → (name, right, right on the base tests only, wrong)
    "HumanEval/0": ("double", "return 2 * x", "return x + 2 if x < 3 else 2 * x - (x > 90)", "return x"),
    "HumanEval/1": ("square", "return x * x", "return x * x if x < 50 else 0", "return x"),
    "HumanEval/2": ("negate", "return -x", "return -x if x else 1", "return x"),
    "HumanEval/3": ("same", "return x", "return x if x < 50 else 0", "while True:\n        pass"),
}
SOLUTIONS = {"one": ["0", "1", "2", "2"], "two": ["00", "01", "12", "22"], "base": ["0", "1", "2", "2"]}


def problem(task, name, right):
    return {"task_id": task, "prompt": f"def {name}(x):\n", "entry_point": name, "canonical_solution": f"    {right}\n",
            "base_input": [[2], [5]], "plus_input": [[0], [100]], "atol": 0, "contract": "", "test": ""}


def main(folder):
    folder.mkdir(parents=True)
    problems = folder / "problems.jsonl"
    problems.write_text("".join(json.dumps(problem(task, name, right)) + "\n"
                                for task, (name, right, *_) in PROBLEMS.items()))
    os.environ["HUMANEVAL_OVERRIDE_PATH"] = str(problems)
    from evalplus.evaluate import evaluate

    for stem, kinds in SOLUTIONS.items():
        samples = folder / f"{stem}.jsonl"
        samples.write_text("".join(
            json.dumps({"task_id": task, "solution": f"def {name}(x):\n    {bodies[int(kind)]}\n"}) + "\n"
            for (task, (name, *bodies)), drawn in zip(PROBLEMS.items(), kinds, strict=True) for kind in drawn))
        evaluate("humaneval", str(samples), base_only=stem == "base", parallel=1)
        samples.unlink()
    problems.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
