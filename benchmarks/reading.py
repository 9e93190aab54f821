"""How long reading takes and how much memory, at the sizes that users have: two minutes.

Files are made in a temporary folder and read in a process of their own, whose peak memory is its own; a pass over the
bytes of the same file, in the same process, is the yardstick.
"""

import argparse
import json
import multiprocessing
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import memory
import numpy as np


def wide(path: Path, models: int, questions: int) -> None:
    """A matrix of 0 and 1 with one blank in a hundred."""
    rng = np.random.default_rng(0)
    with path.open("wb") as stream:
        stream.write(b"model,created_date,sha," + b",".join(b"q%d" % i for i in range(questions)) + b"\n")
        for model in range(models):
            draws = rng.random(questions)
            cells = np.where(draws < 0.01, b"", np.where(draws < 0.6, b"1", b"0"))
            stream.write(b"m%d,2024-01-01,,%s\n" % (model, b",".join(cells.tolist())))


def jsonl(path: Path, lines: int, size: int) -> None:
    """Answers with texts of `size` bytes."""
    text = "x" * size
    with path.open("w") as stream:
        stream.writelines(f'{{"id": {i}, "score": {i % 2}, "output": "{text}"}}\n' for i in range(lines))


def read(path: Path, queue) -> None:
    from llm_accuracy.scores.matrix import read_matrix
    from llm_accuracy.scores.readers import read_model

    start = time.perf_counter()
    with path.open("rb") as stream:
        for _ in stream:
            pass
    passed, before = time.perf_counter() - start, memory.resident()
    start = time.perf_counter()
    if path.suffix == ".csv":
        read_matrix(path, cache=False)
    else:
        read_model(path)
    took = time.perf_counter() - start
    queue.put((took, passed, before, memory.resident()))


def harness(folder: Path, models: int, tasks: int, questions: int, size: int) -> int:
    """Logs of the harness with documents of `size` bytes; returns their bytes."""
    time_, text = "2025-01-02T03-04-05.123456", "x" * size
    for m in range(models):
        place = folder / f"m{m}"
        place.mkdir(parents=True)
        names = [f"t{t}" for t in range(tasks)]
        (place / f"results_{time_}.json").write_text(json.dumps({
            "results": {name: {"alias": name} for name in names}, "model_name": f"org/m{m}",
            "higher_is_better": {name: {"acc": True} for name in names}}))
        for name in names:
            with (place / f"samples_{name}_{time_}.jsonl").open("w") as stream:
                stream.writelines(json.dumps(
                    {"doc_id": i, "doc": {"text": text}, "target": "a", "filter": "none",
                     "metrics": ["acc"], "doc_hash": f"{i:064}", "prompt_hash": f"{i:064}", "target_hash": "0" * 64,
                     "acc": float((i + m) % 3 > 0)}) + "\n" for i in range(questions))
    return sum(file.stat().st_size for file in folder.rglob("*"))


def side_by_side(folder: Path) -> None:
    """The same folder by one process and by as many as there are cores, twice each; and the same scores."""
    from llm_accuracy.scores import readers, workers

    took: dict[int, list[float]] = {1: [], workers.cores(): []}
    tables = []
    for jobs in [*took, *took]:
        workers.read_with(jobs)
        start = time.perf_counter()
        tables.append(readers.read("lm-eval", [folder])[0].to_frame())
        took[jobs].append(time.perf_counter() - start)
    assert all(table.equals(tables[0]) for table in tables)
    (one, _), (many, again) = took.items()
    print(f"harness logs: one process {min(took[one]):.1f} s, {many} {min(again):.1f} s (the first time, with their "
          f"start, {again[0]:.1f} s): {min(took[one]) / min(again):.2f} times as fast, same scores", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200, help="models of the wide matrix")
    parser.add_argument("--questions", type=int, default=1_000_000)
    parser.add_argument("--harness", nargs=4, type=int, default=(20, 40, 150, 3_000),
                        metavar=("MODELS", "TASKS", "QUESTIONS", "BYTES"), help="logs read by several processes")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        models, tasks, questions, _ = args.harness
        size = harness(Path(folder) / "logs", *args.harness)
        print(f"harness logs {size / 2**20:.0f} MiB: {models} models x {tasks} tasks x {questions} questions")
        side_by_side(Path(folder) / "logs")
        shutil.rmtree(Path(folder) / "logs")
        files = [(wide, "wide.csv", args.rows, args.questions), (jsonl, "small.jsonl", 100_000, 900),
                 (jsonl, "long.jsonl", 50, 2_000_000)]
        for make, name, *size in files:
            path = Path(folder) / name
            make(path, *size)
            queue = multiprocessing.get_context("spawn").SimpleQueue()
            child = multiprocessing.get_context("spawn").Process(target=read, args=(path, queue))
            child.start()
            took, passed, before, peak = queue.get()
            child.join()
            print(f"{name:12} {path.stat().st_size / 2**20:6.0f} MiB {size[0]:>9,} x {size[1]:<9,} "
                  f"read in {took:6.1f} s ({took / passed:5.0f} passes over its lines), peak {peak:5.0f} MiB, "
                  f"{before:.0f} before", flush=True)
            path.unlink()


if __name__ == "__main__":
    main()
