"""How often do rules of release gates raise a false alarm, and find a drop, on the same simulated suites?

    python benchmarks/gate_rules.py                             about 5 minutes
    python benchmarks/gate_rules.py --page docs/degradation.md  also into a page, between its marks
    python benchmarks/gate_rules.py --suites 100                fewer suites

Four rules at an error rate of 5 % and a margin of 1 point: this project's decision over a suite (`judge_suite`), the
worst of all tasks in the manner of `nel compare`, the unpaired two-sided z test of lm-evaluation-harness's comparator,
task by task, and a plain threshold, task by task. All but the first are re-implementations of ours, from their
documents. Each suite is drawn from a population whose drop is known, with fixed seeds.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import memory

from llm_accuracy import cli
from llm_accuracy.degradation import mcnemar, suite, unconditional
from llm_accuracy.degradation.bounded_means import Units
from llm_accuracy.degradation.sign_flips import sign_flip_test
from llm_accuracy.degradation.verdicts import DEGRADED, NOT_DEGRADED, verdict
from llm_accuracy.files import around, put_between

MARK = "gate rules"
ALPHA, MARGIN, TOLERANCE = 0.05, 0.01, 0.02
DROPS = (0.0, 0.01, 0.03)
ACCURACY = 0.7  # of the baseline, at least: items that do not flip are right with this probability
DRAWS = 999  # of Fisher's null and of sign flips, in each suite


@dataclass(frozen=True)
class Scenario:
    """A suite: `tasks` of `items` items in clusters of `together`, of which a share `flip` flips when the drop is 0; a
    drop of the average is spread evenly, or `broken` is all in the first task."""

    name: str
    tasks: int
    items: int
    flip: float
    together: int = 1
    broken: bool = False

    def draw(self, drop: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Scores of baseline and candidate, (tasks, items) of 0 and 1; a cluster is right or wrong as a whole."""
        drops = np.full(self.tasks, drop)
        if self.broken:
            drops[:] = 0.0
            drops[0] = drop * self.tasks
        shape = self.tasks, self.items // self.together
        lost, gained = (self.flip / 2 + drops)[:, None], self.flip / 2
        u, right = rng.random(shape), rng.random(shape) < ACCURACY
        is_lost, is_gained = u < lost, (u >= lost) & (u < lost + gained)
        baseline = np.where(is_lost, True, np.where(is_gained, False, right))
        candidate = np.where(is_lost, False, np.where(is_gained, True, right))
        return tuple(np.repeat(one, self.together, axis=1).astype(float) for one in (baseline, candidate))


SCENARIOS = (
    Scenario("20 tasks of 200 items, 5 % flip", 20, 200, 0.05),
    Scenario("20 tasks of 200 items, 30 % flip", 20, 200, 0.3),
    Scenario("20 tasks of 200 items in clusters of 10 that flip as a whole, 5 %", 20, 200, 0.05, together=10),
    Scenario("20 tasks of 200 items, 5 % flip, all of the drop in one task", 20, 200, 0.05, broken=True),
    Scenario("5 tasks of 50 items, 2 % flip", 5, 50, 0.02),
)


# ---- the rules: (says that it got worse, says that it is fine) ----------------------------------------------


def ours(baseline: np.ndarray, candidate: np.ndarray, together: int, seed: int) -> tuple[bool, bool]:
    """The decision of `judge_suite`, with `DRAWS` random numbers and without the tasks' own tables."""
    differences = baseline - candidate
    b, c = (differences > 0).sum(axis=1), (differences < 0).sum(axis=1)
    if together == 1:
        p_pooled = mcnemar.p_exact(int(b.sum()), int(c.sum()))
        p_max, p_fisher = suite.p_max_drop(b, c), suite.p_fisher(b, c, DRAWS, seed)
        p_safe = unconditional.p_drop_excluded(differences.size, int(b.sum()), int(c.sum()), MARGIN)
    else:
        units = np.repeat(np.arange(differences.size // together), together)
        tasks = np.repeat(np.arange(len(differences)), differences.shape[1])
        drawn = suite.sign_draw_tests(differences.ravel(), units, tasks, DRAWS, seed)
        p_max, p_fisher = drawn.p_max_drop, drawn.p_fisher
        sums = np.bincount(units, weights=differences.ravel())
        p_pooled = sign_flip_test(sums, DRAWS, seed).p
        p_safe = Units(sums, np.full(sums.size, float(together)), 1.0).p_drop_excluded(MARGIN)
    said, _ = verdict(suite.p_combined(float(p_pooled), p_max, p_fisher), p_safe, ALPHA)
    return said == DEGRADED, said == NOT_DEGRADED


def worst_of_tasks(baseline: np.ndarray, candidate: np.ndarray) -> tuple[bool, bool]:
    """As `nel compare`, once a task: BLOCK if the exact one-sided McNemar test rejects and the drop exceeds the allowed
    one, WARN if it rejects only; otherwise INCONCLUSIVE if 2.8/√flips exceeds ten times the allowed drop, else PASS;
    PASS without flips, too. One BLOCK blocks; it is fine if all pass."""
    b, c = ((sign * (baseline - candidate) > 0).sum(axis=1) for sign in (1, -1))
    rejected = mcnemar.p_exact(b, c) < ALPHA
    blocked = rejected & ((b - c) / baseline.shape[1] > MARGIN)
    flips = b + c
    passed = ~rejected & ((flips == 0) | (2.8 / np.sqrt(np.maximum(flips, 1)) <= 10 * MARGIN))
    return bool(blocked.any()), bool(passed.all())


def unpaired(baseline: np.ndarray, candidate: np.ndarray) -> tuple[bool, bool]:
    """lm-evaluation-harness's comparator: z of the accuracies' difference over √(se² + se²), two-sided, once a task;
    worse if one task's accuracy fell with p < alpha."""
    n = baseline.shape[1]
    fell = baseline.mean(axis=1) - candidate.mean(axis=1)
    error = np.sqrt((baseline.var(axis=1, ddof=1) + candidate.var(axis=1, ddof=1)) / n)
    z = np.divide(fell, error, out=np.zeros_like(fell), where=error > 0)
    worse = bool(((2 * stats.norm.sf(np.abs(z)) < ALPHA) & (fell > 0)).any())
    return worse, not worse


def threshold(baseline: np.ndarray, candidate: np.ndarray) -> tuple[bool, bool]:
    """Worse if a task's accuracy is more than `TOLERANCE` below the baseline's."""
    worse = bool((baseline.mean(axis=1) - candidate.mean(axis=1) > TOLERANCE + 1e-12).any())
    return worse, not worse


RULES = ("`suite`", "worst of tasks, as nel compare", "unpaired z, as lm-eval", f"{100 * TOLERANCE:g} points a task")


def rates(scenario: Scenario, drop: float, suites: int, seed: int) -> np.ndarray:
    """(rules, 2): how often each of RULES says worse, and fine."""
    rng = np.random.default_rng(seed)
    said = np.zeros((len(RULES), 2))
    for number in range(suites):
        pair = scenario.draw(drop, rng)
        said += [ours(*pair, scenario.together, number), worst_of_tasks(*pair), unpaired(*pair), threshold(*pair)]
    return said / suites


def main(argv=None):
    parser = cli.parser(__doc__)
    parser.add_argument("--suites", type=cli.at_least(1), default=1_000, help="simulated suites a row (default: 1000)")
    parser.add_argument("--page", type=Path, metavar="FILE", help=f"with <!-- {MARK} --> and <!-- /{MARK} -->")
    args = parser.parse_args(argv)
    if args.page:
        around(args.page, MARK)  # said before the work, not after it
    lines = [f"| says worse / says fine, % of suites | drop | {' | '.join(RULES)} |",
             f"|---|---:|{'---:|' * len(RULES)}"]
    for number, scenario in enumerate(SCENARIOS):
        for drop in DROPS:
            found = 100 * rates(scenario, drop, args.suites, seed=number)
            cells = [f"{worse:.1f} / {fine:.1f}" for worse, fine in found]
            lines.append(f"| {scenario.name} | {100 * drop:g} | {' | '.join(cells)} |")
        print(f"{scenario.name}: done", file=sys.stderr, flush=True)
    body = "\n".join(lines)
    print(body)
    if args.page:
        put_between(args.page, MARK, f"`python benchmarks/gate_rules.py --suites {args.suites}`\n\n{body}\n")


if __name__ == "__main__":
    cli.run(memory.with_peak(main))
