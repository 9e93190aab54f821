"""Do other optimisers fit a factor model sooner than the map protocol, at equal loss on left-out models? 10 minutes.

    python benchmarks/optimisers.py BOARD.csv                     a matrix of models × questions
    python benchmarks/optimisers.py --factors FILE.npz            a board drawn from factors, a quarter of its questions

All minimise the same: the summed cross-entropy of the history's entries plus λ/2 (‖U‖² + ‖V‖²), from the same start, in
float32. A fifth of the models is left out whole; each is then placed from a random half of its questions by Newton's
method in float64 (the prior is the mean and covariance of U), and judged by the cross-entropy of its other half.

  map                 Adam's steps, as factor_models_final.py takes them, for several numbers of epochs
  L-BFGS              PyTorch's, ten pairs, strong Wolfe line search; effort is evaluations of the gradient
  alternating Newton  one Newton step for every model, one for every question, halved where the objective rose
  bound               the protocol of that name: the same with p(1−p) ≤ 1/4, one Cholesky factor for all models

An optimiser is judged at every effort until it reaches the loss of map's default epochs (give or take .0005): the last
line says by what processor time, over map's. Seconds are those of its own work, the judging left out.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch
from scipy.special import expit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import memory

from llm_accuracy import cli
from llm_accuracy.errors import InputError
from llm_accuracy.querying import factors
from llm_accuracy.querying.factors import Fit
from llm_accuracy.querying.protocols import PROTOCOLS
from llm_accuracy.randomness import stream
from llm_accuracy.scores.matrix import read_matrix

MAP = PROTOCOLS["map"]
EFFORTS = {"map": (25, 50, 100, 200), "L-BFGS": (25, 50, 100, 200), "alternating Newton": (2, 4, 8, 16),
           "bound": (12, 25, 50, 100)}
SLACK = 5e-4  # a loss that is higher by no more counts as equal


class Problem:
    """The history's scores, and the penalised objective and its gradients over U (M, K) and V (N, K)."""

    def __init__(self, scores, rank, decay):
        self.scores, self.rank, self.decay = scores, rank, decay
        self.z = torch.as_tensor(scores, dtype=torch.float32)
        self.seen = np.ones(scores.shape, bool)

    def start(self):
        rng = stream("optimisers")
        return [torch.as_tensor(MAP.start * rng.standard_normal((size, self.rank), dtype=np.float32))
                for size in self.scores.shape]

    def value_and_gradients(self, U, V):
        logits = U @ V.T
        value = (torch.nn.functional.softplus(logits) - self.z * logits).sum(dtype=torch.float64)
        value += self.decay / 2 * (U.square().sum() + V.square().sum())
        residual = logits.sigmoid_().sub_(self.z)
        return value, (residual @ V).add_(U, alpha=self.decay), (residual.T @ U).add_(V, alpha=self.decay)


def by_protocol(name):
    def run(problem, efforts):
        for effort in efforts:  # a rate may fall with the number of epochs, so each is a run of its own
            start = time.process_time()
            one = Fit(problem.rank, problem.decay, stream("optimisers"), problem.seen)
            [(U, V)] = factors.fit(problem.scores, [one], PROTOCOLS[name], effort)
            yield effort, time.process_time() - start, U, V

    return run


def by_lbfgs(problem, efforts):
    for effort in efforts:  # PyTorch's restarts its search where it stops, so each is a run of its own
        start = time.process_time()
        U, V = problem.start()
        optimizer = torch.optim.LBFGS([U, V], max_iter=effort, max_eval=effort, history_size=10,
                                      line_search_fn="strong_wolfe", tolerance_grad=0, tolerance_change=0)

        def closure(U=U, V=V):
            value, U.grad, V.grad = problem.value_and_gradients(U, V)
            return float(value)

        optimizer.step(closure)
        yield effort, time.process_time() - start, U.numpy(), V.numpy()


def newton_half(problem, U, V, over):
    """One damped Newton step of every row of U (over=1) or, with the roles exchanged, of V (over=0)."""
    rows, others, target = (U, V, problem.z) if over else (V, U, problem.z.T)
    pairs = (others[:, :, None] * others[:, None, :]).flatten(1)
    for some in torch.arange(len(rows)).split(256):
        p = (rows[some] @ others.T).sigmoid_()
        gradient = (p - target[some]) @ others + problem.decay * rows[some]
        hessian = ((p * (1 - p)) @ pairs).unflatten(1, (problem.rank, problem.rank))
        hessian.diagonal(dim1=1, dim2=2).add_(problem.decay)
        step = torch.cholesky_solve(gradient[..., None], torch.linalg.cholesky(hessian))[..., 0]
        before = _of(rows[some], others, target[some], problem.decay)
        for _ in range(4):
            worse = _of(rows[some] - step, others, target[some], problem.decay) > before
            if not worse.any():
                break
            step[worse] /= 2
        rows[some] -= step


def _of(rows, others, target, decay):
    logits = rows @ others.T
    return (torch.nn.functional.softplus(logits) - target * logits).sum(1) + decay / 2 * rows.square().sum(1)


def by_newton(problem, efforts):
    (U, V), spent = problem.start(), 0.0
    for sweep in range(1, max(efforts) + 1):
        start = time.process_time()
        newton_half(problem, U, V, 1)
        newton_half(problem, U, V, 0)
        spent += time.process_time() - start
        if sweep in efforts:
            yield sweep, spent, U.numpy(), V.numpy()


OPTIMISERS = {"map": by_protocol("map"), "bound": by_protocol("bound"), "L-BFGS": by_lbfgs,
              "alternating Newton": by_newton}


def loss_of_left_out(scores, U, V):
    """Mean cross-entropy of the second half of the questions of models that are placed by the first, float64."""
    half = np.random.default_rng(5).permutation(scores.shape[1])
    known, asked = half[: len(half) // 2], half[len(half) // 2 :]
    prior = U.mean(0, dtype=float), np.linalg.inv(np.cov(U.T.astype(float)) + 1e-6 * np.eye(U.shape[1]))
    logits = np.array([V[asked].astype(float) @ placed(z[known], V[known].astype(float), *prior) for z in scores])
    return np.mean(np.logaddexp(0, logits) - scores[:, asked] * logits)


def placed(z, V, mean, precision):
    """The mode of the posterior of a model that answered z (N,)."""

    def cost(u):
        return np.sum(np.logaddexp(0, V @ u) - z * (V @ u)) + (u - mean) @ precision @ (u - mean) / 2

    u, now = mean, cost(mean)
    for _ in range(100):
        p = expit(V @ u)
        gradient = V.T @ (p - z) + precision @ (u - mean)
        step = np.linalg.solve((V.T * (p * (1 - p))) @ V + precision, gradient)
        if step @ gradient < 1e-9:
            break
        while (after := cost(u - step)) > now:
            step /= 2
        u, now = u - step, after
    return u


def board(args):
    if args.factors:
        try:
            with np.load(args.factors) as stored:
                U, V = (stored[name].astype(np.float32) for name in "UV")
        except (OSError, KeyError, ValueError) as error:
            raise InputError(f"{args.factors}: not an .npz with U and V ({error})") from None
        rng = np.random.default_rng(1)
        V = V[rng.permutation(len(V))[: len(V) // 4]]
        return (rng.random((len(U), len(V))) < expit(U @ V.T)).astype(np.float32)
    if args.board is None:
        raise InputError("give a board, or --factors FILE.npz")
    matrix = read_matrix(args.board)
    if not matrix.observed.all():
        raise InputError(f"{args.board}: answers are missing; a complete board is needed")
    return matrix.scores.astype(np.float32)


def main(argv=None):
    parser = cli.parser(__doc__)
    parser.add_argument("board", nargs="?", type=Path)
    parser.add_argument("--factors", type=Path, metavar="FILE")
    parser.add_argument("--rank", type=cli.at_least(1), default=32, metavar="K")
    parser.add_argument("--weight-decay", type=cli.number(), default=4.0, metavar="L")
    parser.add_argument("--only", nargs="+", choices=OPTIMISERS, default=list(OPTIMISERS))
    args = parser.parse_args(argv)
    scores = board(args)
    scores = scores[np.random.default_rng(0).permutation(len(scores))]
    new, problem = scores[: len(scores) // 5], Problem(scores[len(scores) // 5 :], args.rank, args.weight_decay)
    print(f"{len(problem.scores)} models of history, {len(new)} left out, {scores.shape[1]} questions, "
          f"K = {args.rank}, weight decay {args.weight_decay:g}, {torch.get_num_threads()} threads")
    print(f"{'optimiser':<19} {'effort':>6} {'processor s':>11} {'objective':>11} {'loss left out':>13}")
    for _ in OPTIMISERS["map"](problem, (1,)):  # what it imports is not the fit's time
        wanted = None
    for name in dict.fromkeys(["map", *args.only]):
        reached = None
        for effort, spent, U, V in OPTIMISERS[name](problem, EFFORTS[name]):
            value = float(problem.value_and_gradients(torch.as_tensor(U), torch.as_tensor(V))[0])
            loss = loss_of_left_out(new, U, V)
            print(f"{name:<19} {effort:>6} {spent:>11.2f} {value:>11.0f} {loss:>13.5f}", flush=True)
            if name == "map" and effort == MAP.epochs:
                wanted = spent, loss
            if name != "map" and loss <= wanted[1] + SLACK:
                reached = spent
                break
        if name != "map":
            print(f"{name}: " + (f"{reached / wanted[0]:.2f} times map's processor time at its loss" if reached else
                                 "never reaches map's loss"))


if __name__ == "__main__":
    cli.run(memory.with_peak(main))
