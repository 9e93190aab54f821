"""How fast, against what, with how much memory: one table, and its ratios as one JSON line at the end.

    python benchmarks/run.py                      about 15 minutes on two cores
    python benchmarks/run.py --quick              about 2 minutes: fewer steps, a quarter of the questions for fits
    python benchmarks/run.py --factors FILE.npz   U and V of fitted factors (default: random ones of that size)
    python benchmarks/run.py --only faq_step      the items whose name begins so

Every ratio is yardstick time / our time for the same work on the same input in this process (benchmarks/
yardsticks.py), the median of several turns taken alternately. Sizes are those of the MMLU-Pro study: 443 new
models, 12,032 questions, K = 64. Items named cuda run where there is a CUDA device and are left out elsewhere.
"""

import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import memory
import yardsticks

from llm_accuracy import cli
from llm_accuracy.errors import InputError
from llm_accuracy.querying import factors, mixture, recalibration, rounds, walks
from llm_accuracy.querying.beliefs import Bank
from llm_accuracy.querying.evaluation import evaluate, evaluate_in_rounds, kinds_of, run
from llm_accuracy.querying.factors import Fit, Prior
from llm_accuracy.querying.loops import built
from llm_accuracy.querying.passes import Passes
from llm_accuracy.querying.policies import WALKING, named
from llm_accuracy.querying.querier import Querier
from llm_accuracy.querying.setting import Setting
from llm_accuracy.randomness import stream
from llm_accuracy.scores.matrix import Responses, read_matrix, write_matrix

MODELS, QUESTIONS, RANK, HISTORY = 443, 12_032, 64, 1_769
EXPLORING = Setting(1.0, 0.5, 0.25, 0.05)
ITEMS = {}


def item(function):
    ITEMS[function.__name__] = function
    return function


class Line:
    """One row of the table; `ratio` is None where there is no yardstick."""

    def __init__(self, what, ours, yardstick=None, memory="", n=""):
        self.what, self.ours, self.yardstick, self.memory, self.n = what, ours, yardstick, memory, n

    @property
    def ratio(self):
        return None if self.yardstick is None else self.yardstick / self.ours

    def __str__(self):
        beside = f"{seconds(self.yardstick):>9} {self.ratio:>7.1f}" if self.ratio else f"{'':>9} {'':>7}"
        return f"{self.what:<28} {seconds(self.ours):>9} {beside} {self.memory:>9}  {self.n}"


def seconds(t):
    return f"{t * 1e3:.2f} ms" if t < 1 else f"{t:.2f} s"


class Board:
    """The study's sizes: factors, prior, answers of new models."""

    def __init__(self, path, quick):
        self.quick = quick
        if path:
            try:
                with np.load(path) as stored:
                    U, self.V = (stored[name].astype(np.float32) for name in "UV")
            except (OSError, KeyError, ValueError) as error:
                raise InputError(f"{path}: not an .npz with U and V ({error})") from None
            if len(U) < HISTORY + MODELS:
                raise InputError(f"{path}: {len(U)} models; {HISTORY} of history and {MODELS} new ones are needed")
        else:
            rng, spread = np.random.default_rng(0), 1.5 / np.sqrt(np.arange(1, RANK + 1))
            U = (rng.standard_normal((HISTORY + MODELS, RANK)) * spread).astype(np.float32)
            self.V = (rng.standard_normal((QUESTIONS, RANK))).astype(np.float32)
        self.history, new = U[:HISTORY], U[HISTORY : HISTORY + MODELS]
        self.prior = Prior(self.history.mean(0).astype(float), np.cov(self.history.T.astype(float)))
        rng = np.random.default_rng(1)
        self.scores = (rng.random((len(new), len(self.V))) < 1 / (1 + np.exp(-new @ self.V.T))).astype(np.float32)
        self.rng = rng


def median_of_turns(turns, *functions):
    """Median seconds of each function, taken in turn."""
    spent = [[] for _ in functions]
    for _ in range(turns):
        for times, function in zip(spent, functions, strict=True):
            start = time.perf_counter()
            function()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
    return [statistics.median(times) for times in spent]


def resident(which="VmHWM"):
    """GiB of `memory.resident`."""
    return memory.resident(which) / 1024


def in_its_own_process(call):
    """The numbers that `call` prints in a process of its own, so that its peak memory is its own."""
    code = f"import sys; sys.path[:0] = sys.argv[1:3]; import run; {call}"
    done = subprocess.run([sys.executable, "-c", code, str(Path(__file__).parent), str(Path(__file__).parents[1])],
                          capture_output=True, text=True, check=True)
    return [float(number) for number in done.stdout.split()]


# --- FAQ -----------------------------------------------------------------------------------------------

def faq_step(board, setting, as_published, device="cpu", models=MODELS):
    """(ours, yardstick) seconds per step, all models at once."""
    steps = 20 if board.quick else 60
    scores = np.resize(board.scores, (models, board.scores.shape[1]))
    draws = board.rng.random((models, steps))
    bank = Bank.of(board.V, device)
    passes = Passes.for_work(1e12, device)
    budget = 3_008

    def ours(n):
        return lambda: evaluate(bank, board.prior, [setting] * models, draws[:, :n], scores, budget=budget,
                                passes=passes)

    direct = yardsticks.DirectFAQ(bank.V[: len(board.V)], board.prior, models, budget, setting, as_published)
    answers, uniform = (torch.as_tensor(a, device=device) for a in (scores, draws[:, 0]))
    direct.step(uniform, answers)
    ours(2)()  # compiles
    short, long, step = median_of_turns(5, ours(2), ours(steps), lambda: direct.step(uniform, answers))
    return (long - short) / (steps - 2), step


@item
def faq_step_rho0_cpu(board):
    ours, step = faq_step(board, Setting(), as_published=True)
    return Line("FAQ step, rho=0, published", ours, step, n=f"{MODELS} models, K={RANK}")


@item
def faq_step_rho0_cpu_vs_cheapest(board):
    ours, step = faq_step(board, Setting(), as_published=False)
    return Line("FAQ step, rho=0, cheapest", ours, step, n=f"{MODELS} models, no h_a, inverse CDF")


@item
def faq_step_exploring_cpu(board):
    ours, step = faq_step(board, EXPLORING, as_published=True)
    return Line("FAQ step, rho>0, beta_s<1", ours, step, n=f"{MODELS} models, K={RANK}")


@item
def faq_trial_cpu(board):
    """A 25 % trial in a process of its own."""
    steps = 301 if board.quick else 3_008
    spent, extra = in_its_own_process(f"run.trial(run.Board({board.path!r}, False), {steps})")
    return Line(f"FAQ trial, {steps} steps", spent, memory=f"+{extra:.2f} GiB", n=f"{MODELS} models")


def trial(board, steps):
    before = resident()
    draws = board.rng.random((MODELS, steps))
    start = time.perf_counter()
    evaluate(Bank.of(board.V), board.prior, [Setting()] * MODELS, draws, board.scores, "without")
    print(time.perf_counter() - start, resident() - before)


# --- the default: growing rounds -----------------------------------------------------------------------

PARTS = {"solves": (mixture.HistoryMixture, "mean"), "recalibration": (recalibration.Recalibrated, "_fitted"),
         "predictions": (recalibration.Recalibrated, "predict"), "q": (rounds, "choosing"), "pi": (rounds, "inclusion"),
         "sorting": (rounds.Rounds, "_order"), "draws": (rounds, "systematic")}


@item
def default_trial_cpu(board):
    """A 25 % trial of the default method in a process of its own; then what its processor time goes to, in another, on
    one thread."""
    models = MODELS // (4 if board.quick else 1)
    call = "run.default_trial(run.Board({!r}, False), {}, {})"
    spent, processor, extra = in_its_own_process(call.format(board.path, models, 0))
    shares = in_its_own_process(call.format(board.path, models // 4, 1))
    profile = ", ".join(f"{name} {share:.0%}" for name, share in zip([*PARTS, "the rest"], shares, strict=True))
    return Line("default trial, 3008 of 12032", spent, memory=f"+{extra:.2f} GiB",
                n=f"{models} models, processor {processor:.1f} s: {profile}")


def default_trial(board, models, profiled):
    """Prints seconds, processor seconds and memory; or, profiled, shares of the processor time."""
    scores, plan = board.scores[:models], named("rounds").rounds
    draws = board.rng.random((models, 40))
    prior = Prior(board.prior.mean, board.prior.covariance, board.history)
    kinds_of(Bank.of(board.V[:100]), prior, plan)  # what it imports is not the trial's memory
    spent_in, before = {}, resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    if profiled:
        torch.set_num_threads(1)
        spent_in = {name: timed(owner, function) for name, (owner, function) in PARTS.items()}
    start, busy = time.perf_counter(), time.process_time()
    bank = Bank.of(board.V)
    evaluate_in_rounds(bank, prior, plan, 0.1, [QUESTIONS // 4], draws, scores, kinds_of(bank, prior, plan))
    spent, busy = time.perf_counter() - start, time.process_time() - busy
    if profiled:
        shares = [sum(times) / busy for times in spent_in.values()]
        print(*shares, 1 - sum(shares))
    else:
        print(spent, busy, resident() - before)


def timed(owner, name):
    """Wrap a function; returns the list that its processor seconds go to."""
    function, times = getattr(owner, name), []

    def wrapped(*arguments, **named_ones):
        start = time.process_time()
        try:
            return function(*arguments, **named_ones)
        finally:
            times.append(time.process_time() - start)

    setattr(owner, name, wrapped)
    return times


@item
def default_seeds_cpu(board):
    """The default's trials of a board of the size of open_llm_leaderboard_v2, ten budgets from one run; the yardstick
    asks at each budget by itself, two seeds of them."""
    models, questions, rank, seeds = 214, 2_191, 32, 2 if board.quick else 20
    rng, plan = np.random.default_rng(2), named("rounds").rounds
    U, V = rng.standard_normal((2 * models, rank)) * 1.5 / np.sqrt(np.arange(1, rank + 1)), rng.standard_normal(
        (questions, rank)).astype(np.float32)
    prior, bank = Prior(U[:models].mean(0), np.cov(U[:models].T), U[:models]), Bank.of(V)
    scores = (rng.random((models, questions)) < 1 / (1 + np.exp(-U[models:] @ V.T))).astype(np.float32)
    kinds, budgets = kinds_of(bank, prior, plan), [questions * share // 40 for share in range(1, 11)]
    draws = rng.random((seeds, models, 40))

    def two_at_a_time(some, budgets):
        for start in range(0, len(some), 2):
            rows = np.concatenate(some[start : start + 2])
            evaluate_in_rounds(bank, prior, plan, 0.1, budgets, rows, np.resize(scores, (len(rows), questions)), kinds)

    [ours] = median_of_turns(1, lambda: two_at_a_time(draws, budgets))
    [each] = median_of_turns(1, lambda: [two_at_a_time(draws[:2], [budget]) for budget in budgets])
    return Line(f"default, {seeds} seeds, 10 budgets", ours, each * seeds / 2, memory=f"{resident():.2f} GiB",
                n=f"{models} models x {questions} questions, K={rank}; yardstick budget by budget")


@item
def faq_step_cuda(board):
    models = 2_213
    ours, step = faq_step(board, Setting(), as_published=True, device="cuda", models=models)
    return Line("FAQ step on CUDA, rho=0", ours, step, n=f"{models} models, K={RANK}")


@item
def faq_trial_cuda(board):
    steps, models = 3_008, 2_213
    scores, draws = np.resize(board.scores, (models, QUESTIONS)), board.rng.random((models, steps))
    bank = Bank.of(board.V, "cuda")
    evaluate(bank, board.prior, [Setting()] * models, draws[:, :300], scores)
    torch.cuda.reset_peak_memory_stats()
    [spent] = median_of_turns(3, lambda: evaluate(bank, board.prior, [Setting()] * models, draws, scores))
    return Line(f"FAQ trial on CUDA, {steps} steps", spent, n=f"{models} models",
                memory=f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")


# --- walks ---------------------------------------------------------------------------------------------

@item
def baseline_walks(board):
    """All settings of one budget for one seed, 2,213 models, by the loop in C, which runs of 1e8 coins and more take,
    and by NumPy, as smaller ones; the yardstick walks once per setting and f."""
    models, n = 2_213, QUESTIONS // (16 if board.quick else 4)
    z = np.resize(board.scores[:, :n], (models, n))
    phat, draws, budget = board.rng.random(n), board.rng.random((models, n)), n // 10
    grid = [walks.Walk("unif", budget)] + [walks.Walk(policy, budget, tau) for policy in ("sqrt", "2min")
                                           for tau in (0.05, 0.25, 0.5, 0.75)]

    def one_by_one():
        for one in grid:
            for f in (np.zeros(n), phat):
                yardsticks.walk_one_setting(z, WALKING[one.policy](phat), one.budget, one.tau, one.exempt, draws, f)

    start = time.perf_counter()
    loops = built.__wrapped__()  # anew, as every process does
    building = time.perf_counter() - start
    plain, in_c, theirs = median_of_turns(5, lambda: walks.walk(z, phat, grid, draws),
                                          lambda: walks.walk(z, phat, grid, draws, loops=loops), one_by_one)
    sums, coins = (timed(owner, name) for owner, name in ((walks._Sums, "_sum_up"), (walks._Coins, "toss")))
    start = time.process_time()
    walks.walk(z, phat, grid, draws)
    busy = time.process_time() - start
    size = f"{models} models x {n} questions"
    shares = f"sums {sum(sums) / busy:.0%}, coins {sum(coins) / busy:.0%}, probabilities and Python the rest"
    return [Line("baseline walks, 18 settings", in_c, theirs, n=f"{size}: the loop in C, built in {seconds(building)}"
                 if loops else f"{size}: no C compiler"), Line("the same by NumPy", plain, theirs, n=shares)]


@item
def factor_walks(board):
    """Active inference with factors, 4 τ × 3 budgets; the yardstick takes a few steps of one setting."""
    models, few = MODELS, 6 if board.quick else 20
    z, draws = board.scores[:models], board.rng.random((models, QUESTIONS))
    grid = [walks.Walk("factors", QUESTIONS * share // 40, tau) for share in (1, 4, 10)
            for tau in (0.05, 0.25, 0.5, 0.75)]
    bank, V = Bank.of(board.V), torch.as_tensor(board.V)
    scores, uniforms = torch.as_tensor(z), torch.as_tensor(draws)
    steps = 60 if board.quick else 300
    walks.factor_walk(z, bank, board.prior, grid, draws, steps=2)  # compiles
    ours, theirs = median_of_turns(
        3, lambda: walks.factor_walk(z, bank, board.prior, grid, draws, steps=steps),
        lambda: yardsticks.factor_walk_one_setting(scores, V, board.prior, grid[0].budget, grid[0].tau, uniforms, few))
    return Line("factor walks, 12 settings", ours / steps, theirs / few * len(grid),
                n=f"{models} models, per question")


# --- factor models -------------------------------------------------------------------------------------

def factor_fit(board, protocol, decay, held_out, scores, epochs=None, device="cpu"):
    """(seconds, training loss, validation loss)."""
    start = time.perf_counter()
    [(U, V)] = factors.fit(scores, [Fit(RANK, decay, stream("benchmark"), ~held_out)], factors.PROTOCOLS[protocol],
                           epochs, device)
    spent = time.perf_counter() - start
    return spent, *(factors.loss_and_accuracy(scores, seen, U, V)[0] for seen in (~held_out, held_out))


@item
def factor_fit_cpu(board):
    """The penalised fit against the published protocol (our own hand gradients), entries held out."""
    n = QUESTIONS // 4 if board.quick else QUESTIONS
    rows = HISTORY * 4 // 5
    p = 1 / (1 + np.exp(-board.history[:rows] @ board.V[:n].T))
    scores = (board.rng.random((rows, n)) < p).astype(np.int8)
    held_out = board.rng.random(scores.shape) < 0.2
    ours, ours_train, ours_val = factor_fit(board, "map", 8.0, held_out, scores)
    epochs = 200 if board.quick else 2_000
    theirs, their_train, their_val = factor_fit(board, "adamw", 0.1, held_out, scores, epochs)
    note = (f"{rows} x {n}; losses train/val: ours {ours_train:.3f}/{ours_val:.3f}, published at {epochs} epochs "
            f"{their_train:.3f}/{their_val:.3f}")
    return Line("factor fit, K=64", ours, theirs, n=note)


@item
def factor_fit_cuda(board):
    rows, epochs = HISTORY * 4 // 5, 200
    p = 1 / (1 + np.exp(-board.history[:rows] @ board.V.T))
    scores = (board.rng.random(p.shape) < p).astype(np.int8)
    held_out = board.rng.random(scores.shape) < 0.2
    z, seen = (torch.as_tensor(a, device="cuda") for a in (scores.astype(np.float32), ~held_out))
    fits = [Fit(RANK, 0.1, stream("benchmark", i), ~held_out) for i in range(5)]
    ours, theirs = median_of_turns(
        3, lambda: factors.fit(scores, fits, factors.PROTOCOLS["adamw"], epochs, "cuda"),
        lambda: [yardsticks.masked_index_fit(z, seen, RANK, 0.1, epochs) for _ in fits])
    return Line("factor fits on CUDA, 5 folds", ours, theirs, n=f"{rows} x {QUESTIONS}, {epochs} epochs")


# --- reading -------------------------------------------------------------------------------------------

@item
def read_matrix_first_and_cached(board):
    rows = (HISTORY + MODELS) // (4 if board.quick else 1)
    scores = (board.rng.random((rows, QUESTIONS)) < 0.4).astype(np.int8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "M1.csv"
        write_matrix(path, Responses([f"m{i}" for i in range(rows)], [f"q{j}" for j in range(QUESTIONS)], scores))
        [first] = median_of_turns(1, lambda: read_matrix(path))
        [cached] = median_of_turns(3, lambda: read_matrix(path))
        import pandas as pd

        [pandas] = median_of_turns(1, lambda: pd.read_csv(path))
    return [Line("read wide CSV, first", first, pandas, n=f"{rows} x {QUESTIONS}; yardstick pandas.read_csv"),
            Line("read wide CSV, cached", cached, pandas, n=f"{rows} x {QUESTIONS}")]


# --- accuracy of float32 -------------------------------------------------------------------------------

@item
def float32_drift(board):
    """Largest deviations of float32 from float64 on the same questions, over a 25 % budget."""
    from llm_accuracy.querying.estimates import with_replacement
    from llm_accuracy.querying.evaluation import replay

    models, steps = (4, 301) if board.quick else (8, 3_008)
    draws = board.rng.random((models, steps))
    single = Querier(Bank.of(board.V), board.prior, [Setting()] * models, steps)
    start = time.perf_counter()
    trace = run(single, draws, board.scores[:models])
    spent = time.perf_counter() - start
    double = Querier(Bank.of(board.V, dtype=torch.float64), board.prior, [Setting()] * models, steps)
    exact = replay(double, trace.asked, trace.answers)
    theta, se = ([getattr(with_replacement(t, QUESTIONS), name) for t in (trace, exact)] for name in ("theta", "se"))
    q = np.abs(trace.q / exact.q - 1).max()
    lowest = float(torch.linalg.eigvalsh(single.beliefs.sigma.double()).min())
    return Line(f"float32, {steps} steps", spent, n=(
        f"{models} models; largest deviation: theta {np.abs(theta[0] - theta[1]).max():.1e}, SE "
        f"{np.abs(se[0] / se[1] - 1).max():.1e} and q {q:.1e} relative; least eigenvalue {lowest:.1e}"))


def main(argv=None):
    parser = cli.parser(__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--factors", type=Path, metavar="FILE")
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[""])
    args = parser.parse_args(argv)
    board = Board(args.factors, args.quick)
    board.path = str(args.factors) if args.factors else None
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA device"
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, {gpu}; torch {torch.__version__}; float32, "
          f"{'the given' if args.factors else 'random'} factors")
    print(f"{'what':<28} {'ours':>9} {'yardstick':>9} {'ratio':>7} {'memory':>9}  n")
    ratios = {}
    for name, measure in ITEMS.items():
        if not name.startswith(tuple(args.only)) or ("cuda" in name and not torch.cuda.is_available()):
            continue
        found = measure(board)
        for line in found if isinstance(found, list) else [found]:
            line.memory = line.memory or f"{resident():.2f} GiB"
            print(line, flush=True)
            if line.ratio:
                key = name if not isinstance(found, list) else line.what.replace(" ", "_").replace(",", "").lower()
                ratios[key] = round(line.ratio, 2)
    print(f"peak memory of this process: {resident():.2f} GiB")
    print(json.dumps(ratios))


if __name__ == "__main__":
    cli.run(main)
