"""What does `evaluate` cost beside the model: time a question, the first ask, memory?

    python benchmarks/live.py                     12,032 and 1,000,000 questions: about two minutes
    python benchmarks/live.py --sizes 12032 --budget 200

Made-up factors of K = 64 (200 models) and a model like them; every round is drawn, logged (fsync), learned from,
estimated, and results are written, as in a run. One process a size, so that memory is its own. Times
are of one processor. Beside it, in the same process, the yardstick: one product of V with a vector, the least that any
method does which looks at all questions.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import memory

from llm_accuracy import cli
from llm_accuracy.live.asking import Asking
from llm_accuracy.live.bank import Bank
from llm_accuracy.live.evaluate import Evaluation
from llm_accuracy.live.plans import plan_of
from llm_accuracy.live.query_log import QueryLog
from llm_accuracy.live.run_folder import RunFolder
from llm_accuracy.querying.factors import Factors

K, MODELS = 64, 200
MIB = 1 << 20


def main(argv=None):
    parser = cli.parser(__doc__)
    parser.add_argument("--sizes", nargs="+", type=cli.at_least(1000), default=[12_032, 1_000_000], metavar="N")
    parser.add_argument("--budget", type=cli.at_least(8), default=600, metavar="B")
    parser.add_argument("--models", type=cli.at_least(10), default=MODELS, metavar="M")
    parser.add_argument("--watched", action="store_true", help="as with --half-width: one question after the other")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.here:
        print(json.dumps(measured(args.sizes[0], args.budget, args.models, args.watched)))
        return
    for size in args.sizes:
        words = ["--sizes", size, "--budget", args.budget, "--models", args.models, *["--watched"] * args.watched]
        done = subprocess.run([sys.executable, __file__, "--here", *map(str, words)], text=True, stdout=subprocess.PIPE,
                              check=True)
        found = json.loads(done.stdout)
        print(f"{size:,} questions, K = {K}, {args.models} models, {args.budget} asked in {found['rounds']} rounds: "
              f"first ask {found['first']:.2f} s of one processor, then {1000 * found['question']:.1f} ms a question "
              f"({found['ratio']:.1f} products of V with a vector, {1000 * found['yardstick']:.1f} ms each); "
              f"memory {found['peak'] - found['libraries']:.0f} MiB ({found['given']:.0f} of them factors and names "
              f"given) above the {found['libraries']:.0f} MiB of the libraries")


def made(n_questions: int, n_models: int) -> tuple[Factors, np.ndarray]:
    """Factors, and a new model's answers."""
    rng = np.random.default_rng(0)
    scale = (1 / np.sqrt(1 + np.arange(K))).astype(np.float32)
    U = rng.standard_normal((n_models, K), dtype=np.float32) * scale
    V = rng.standard_normal((n_questions, K), dtype=np.float32)
    answers = (rng.random(n_questions, dtype=np.float32) < 1 / (1 + np.exp(-(V @ U[0])))).astype(np.int8)
    names = np.char.add("q", np.arange(n_questions).astype(str))
    return Factors(U[1:], V, names, np.full(n_questions, 0.5, np.float32)), answers


def measured(n_questions: int, budget: int, n_models: int, watched: bool) -> dict[str, float]:
    libraries = memory.resident()
    factors, answers = made(n_questions, n_models)
    given = (factors.V.nbytes + factors.U.nbytes + factors.questions.nbytes) / MIB
    bank = Bank.of(factors.questions)
    number = {name: int(name[1:]) for name in factors.questions} if n_questions <= 100_000 else None
    width = "1pt" if watched else None
    plan = plan_of(n_questions, factors, budget=None if watched else budget, half_width=width,
                   max_budget=budget if watched else None)
    yardstick = min(timed(lambda: factors.V @ factors.U[0]) for _ in range(5))
    with tempfile.TemporaryDirectory() as folder:
        manifest = {"history": {"kind": "made up", "models": n_models}, "notes": [], "plan": plan.to_dict(),
                    "versions": {}, "begun": "", "bank": bank.fingerprints(),
                    "asked": {"driver": "none", "words": "", "settings": {}}}
        started = time.process_time()
        asking = Asking(bank, factors, plan, "new", QueryLog(Path(folder) / "queries.jsonl"))
        evaluation = Evaluation(RunFolder(Path(folder)), manifest, asking)
        questions = asking.ask()
        first = time.process_time() - started
        started, rounds = time.process_time(), 1
        while True:
            asking.take([(name, int(answers[number[name] if number else int(name[1:])]), {}) for name in questions])
            asking.look(0.0)
            evaluation.write(more_to_come=True)
            if not (questions := asking.ask()):
                break
            rounds += 1
        evaluation.write()
        seconds = (time.process_time() - started) / len(asking.answers)
    return {"first": first, "question": seconds, "yardstick": yardstick, "ratio": seconds / yardstick, "rounds": rounds,
            "libraries": libraries, "given": given, "peak": memory.resident()}


def timed(work) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


if __name__ == "__main__":
    cli.run(main)
