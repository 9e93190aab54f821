"""Sessions, the diagnosis of the history, recalibration and sub-scores in rounds."""

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from test_rounds import Logistic, every_outcome

from llm_accuracy.errors import InputError
from llm_accuracy.querying.beliefs import Bank
from llm_accuracy.querying.designs import kinds_of_questions, schedule
from llm_accuracy.querying.diagnosis import LEAST, Diagnoses, HistoryDiagnosis, Promise, diagnose
from llm_accuracy.querying.factors import Factors, Prior
from llm_accuracy.querying.predictors import FactorPredictor, OfScores
from llm_accuracy.querying.recalibration import Recalibrated
from llm_accuracy.querying.round_estimates import estimate
from llm_accuracy.querying.rounds import Rounds, evaluate_rounds
from llm_accuracy.querying.session import Finding, Session, questions_of
from llm_accuracy.randomness import stream

N = 300
TASKS = np.repeat(["large", "middle", "small"], [200, 80, 20])


@cache
def board(partial: bool = False):
    """(factors, truth {name: score}) of a history of forty models and a new one like them."""
    rng = np.random.default_rng(15)
    U, V = rng.normal(size=(40, 3)), rng.normal(size=(N, 3))
    names = np.array([f"q{i}" for i in range(N)])
    p = 1 / (1 + np.exp(-V @ U[2]))
    z = rng.beta(2 * p + 0.05, 2 * (1 - p) + 0.05) if partial else (rng.random(N) < p).astype(float)
    return Factors(U.astype(np.float32), V.astype(np.float32), names, np.zeros(N)), dict(zip(names, z, strict=True))


def answered(session, truth, rounds=99):
    for _ in range(rounds):
        names = session.ask()
        for name in reversed(names):
            session.tell(name, truth[name])
        if not names:
            break
    return session


# --- growing rounds --------------------------------------------------------------------------------------

@pytest.mark.parametrize("partial", [False, True])
def test_session_in_rounds_is_the_engine_asked_live(partial):
    factors, truth = board(partial)
    session = answered(Session(factors, "new", budget=100, tasks=TASKS, seed=3), truth)
    z, prior = np.array(list(truth.values())), factors.prior
    engine = Rounds(Recalibrated(FactorPredictor(Bank.of(factors.V), prior, 1)), 1, N,
                    strata=kinds_of_questions(factors.V.astype(float), prior.covariance))
    draws = stream("session", "new", 3).random((1, 9))
    trace = evaluate_rounds(engine, [100], 8, 1.5, draws, z[None])
    assert session.asked == trace.asked[0].tolist() and session.rounds == schedule(100, N)
    expected = estimate(trace.rounds)
    band, found = expected.interval(), session.estimate()
    assert (found.theta, found.low, found.high) == pytest.approx((expected.theta[0], band.low[0], band.high[0]))
    assert found.asked == 100 and found.history.promised == Promise.of(factors).gain
    parts = session.sub_scores()
    sizes = np.array([(TASKS == name).sum() for name in parts])
    theta = sum(sizes * [session._engine.part(g).theta[0] for g in range(3)]) / N
    assert theta == pytest.approx(expected.theta[0])  # the parts add up
    assert sum(part.asked for part in parts.values()) == 100


def test_a_larger_budget_begins_with_the_same_questions():
    factors, truth = board()
    small, large = (answered(Session(factors, "new", budget=budget), truth) for budget in (38, 100))
    assert large.asked[:38] == small.asked and small.rounds == [8, 12, 18]
    assert answered(Session(factors, "new", budget=100), truth, 3).estimate() == small.estimate()


def test_the_whole_bank_is_exact():
    factors, truth = board(True)
    session = answered(Session(factors, "new", budget="100%", tasks=TASKS), truth)
    found, mean = session.estimate(), np.mean(list(truth.values()))
    assert (found.low, found.theta, found.high) == pytest.approx((mean,) * 3, abs=1e-9)
    scores = np.array(list(truth.values()))
    for name, part in session.sub_scores().items():
        assert part.low == part.theta == part.high == pytest.approx(scores[TASKS == name].mean())
    assert session.ask() == [] and session.outstanding == []
    json.dumps(found.to_dict(), allow_nan=False)


def test_only_complete_rounds_count():
    factors, truth = board()
    session = Session(factors, "new", budget=50)
    first = session.ask()
    with pytest.raises(InputError, match="the first round is not complete"):
        session.estimate()
    for name in first[1:]:
        session.tell(name, truth[name])
    with pytest.raises(InputError, match="the first round is not complete"):
        session.estimate()
    session.tell(first[0], truth[first[0]])
    before = session.estimate()
    session.tell(session.ask()[3], 1)
    assert session.estimate() == before and before.asked == 8


def test_costs_choose_cheaper_questions():
    factors, truth = board()
    costs = np.where(np.arange(N) % 2, 9.0, 1.0)
    paid = [costs[answered(Session(factors, "new", seed, budget=60, costs=given), truth).asked].sum()
            for given in (costs, None) for seed in range(5)]
    assert np.mean(paid[:5]) < 0.75 * np.mean(paid[5:])
    with pytest.raises(InputError, match="one number above 0 for each of the 300"):
        Session(factors, "new", budget=60, costs=costs - 1)
    with pytest.raises(InputError, match="'faq-mix' does not weigh costs"):
        Session(factors, "new", costs=costs)


def test_policies_say_what_they_need():
    factors, truth = board()
    with pytest.raises(InputError, match="'rounds' needs a budget"):
        Session(factors, "new", policy="rounds")
    with pytest.raises(InputError, match="policy 'typo': there are"):
        Session(factors, "new", policy="typo")
    with pytest.raises(InputError, match="only a simulation knows"):
        Session(factors, "new", policy="oracle")
    session = answered(Session(factors, "new", budget=20), truth)
    with pytest.raises(InputError, match='may be watched needs policy="faq-mix"'):
        session.watch()
    with pytest.raises(InputError, match="follow from the budget"):
        session.ask(5)
    limited = Session(factors, "new", budget="10%", policy="faq-mix")
    assert Session(factors, "new").policy.name == "faq-mix" and session.policy.name == "rounds"
    while names := limited.ask(16):
        for name in names:
            limited.tell(name, truth[name])
    assert limited.rounds == [16, 14] and limited.estimate().history is None
    assert limited.watch().asked == 30


@pytest.mark.parametrize("budget, questions", [(300, 300), ("2.5%", 7), (" 5 % ", 15), ("100%", 300), ("0.01%", 1)])
def test_budgets(budget, questions):
    assert questions_of(budget, N) == questions


@pytest.mark.parametrize("budget", [0, 301, -5, 0.05, "5", True, "101%", None, "five"])
def test_budgets_that_cannot_be(budget):
    with pytest.raises(InputError, match="budget"):
        questions_of(budget, N)


# --- what is told ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("policy", ["rounds", "faq-mix"])
@pytest.mark.parametrize("score", [None, "1", "0.5", float("nan"), 1.5, -0.1, np.float32("nan"), [1], float("inf")])
def test_scores_that_are_none(policy, score):
    session = Session(board()[0], "new", budget=20, policy=policy)
    name = session.ask()[0]
    with pytest.raises(InputError, match=f"question '{name}': score .* lie in"):
        session.tell(name, score)
    assert name in session.outstanding
    session.tell(name, True)
    assert session._answers == {session.asked[0]: 1.0}
    with pytest.raises(InputError, match="has not been asked, or its answer is there already"):
        session.tell(name, 1)
    with pytest.raises(InputError, match="has not been asked"):
        session.tell("nobody", 1)


@pytest.mark.parametrize("score", [True, False, np.bool_(True), np.float32(0.25), np.int64(1), 0.5, 1])
def test_scores_that_are(score):
    session = Session(board()[0], "new", budget=20)
    session.tell(session.ask()[0], score)


@pytest.mark.parametrize("alpha, meant", [(0.95, "did you mean 0.05"), (5, "did you mean 0.05"), (95, "mean 0.05"),
                                          (0.9, "mean 0.1"), (0, "above 0"), (-1, "above 0"), ("0.05", "above 0"),
                                          (None, "above 0"), (True, "above 0"), (float("nan"), "above 0")])
def test_error_rates_that_are_none(alpha, meant):
    session = answered(Session(board()[0], "new", budget=20, tasks=TASKS), board()[1])
    for ask in (session.estimate, session.sub_scores, session.watch):
        with pytest.raises(InputError, match=meant):
            ask(alpha)


def test_questions_of_one_name_are_refused():
    factors, _ = board()
    names = np.where(np.arange(N) == 7, "q8", factors.questions)
    with pytest.raises(InputError, match="a question occurs twice"):
        Session(Factors(factors.U, factors.V, names, factors.history_mean), "new", budget=20)


def test_batches_and_tasks_that_cannot_be():
    factors, _ = board()
    with pytest.raises(InputError, match="299 tasks for 300 questions"):
        Session(factors, "new", tasks=TASKS[1:])
    for tasks in (np.zeros((N, 2)), [None] * N, [1.5] * N, 5, "abc"):
        with pytest.raises(InputError, match="tasks"):
            Session(factors, "new", tasks=tasks)
    for batch in (0, -1, 1.5, "3", True):
        with pytest.raises(InputError, match="give a number of questions"):
            Session(factors, "new").ask(batch)


@pytest.mark.parametrize("wrong, words", [
    ({"model": None}, "model None: a name"), ({"model": " "}, "model ' '"), ({"seed": 1.5}, "seed 1.5: a whole number"),
    ({"seed": None}, "seed None"), ({"seed": -1}, "seed -1"), ({"autosave": 3}, "autosave 3: the path"),
    ({"costs": ["1"] * N}, "costs: one number above 0"), ({"costs": "x"}, "costs"), ({"costs": [True] * N}, "costs"),
    ({"factors": None}, "factors: a NoneType, where Factors are needed"), ({"factors": "V"}, "factors: a str")])
def test_arguments_that_cannot_be(wrong, words):
    with pytest.raises(InputError, match=words):
        Session(**({"factors": board()[0], "model": "new", "budget": 10} | wrong))


@pytest.mark.parametrize("change, words", [
    ({"V": np.full((N, 3), np.nan)}, "V holds numbers that are not finite"), ({"V": torch.ones(N, 3)}, "V is no NumPy"),
    ({"V": np.ones((N, 3), object)}, "V is not a table of real"), ({"V": np.ones((N, 2))}, "U has 3 columns, V 2"),
    ({"U": np.ones((0, 3))}, "nothing in it"), ({"questions": np.arange(N)}, "names of the questions are no texts"),
    ({"questions": np.array(["a", "b"])}, "names of questions for 300"),
    ({"history_mean": np.ones(3)}, "means of the history for 300")])
def test_factors_that_are_none(change, words):
    with pytest.raises(InputError, match=f"factors: .*{words}"):
        Session(replace(board()[0], **change), "new", budget=10)


# --- kept ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("policy", ["rounds", "faq-mix"])
def test_saved_in_mid_round_and_resumed(tmp_path, policy):
    factors, truth = board()
    path = str(tmp_path / "session.json")  # as text
    whole = answered(Session(factors, "new", budget=60, policy=policy, tasks=TASKS), truth)
    session = answered(Session(factors, "new", budget=60, policy=policy, tasks=TASKS), truth, 2)
    asked = session.ask()
    for name in asked[: len(asked) // 2]:
        session.tell(name, truth[name])
    session.save(path)
    again = Session.resume(path, factors, TASKS)
    assert again.outstanding == session.outstanding and again.budget == 60
    for name in again.outstanding:
        again.tell(name, truth[name])
    answered(again, truth)
    assert again.asked == whole.asked and again.estimate() == whole.estimate()


def lying(array, offset):
    """The same array, `offset` bytes behind a multiple of 64."""
    room = np.empty(array.nbytes + 128, np.uint8)
    start = -room.ctypes.data % 64 + offset
    found = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    found[...] = array
    return found


@pytest.mark.parametrize("rank", [5, 64])
def test_questions_depend_neither_on_threads_nor_on_where_arrays_lie(rank):
    """To the last bit: else a run could not be resumed by another process."""
    rng, truth, threads = np.random.default_rng(16), None, torch.get_num_threads()
    U, V, names = rng.normal(size=(84, rank)) / 4, rng.normal(size=(2000, rank)), [f"q{i}" for i in range(2000)]
    V[1000:] = V[:1000]  # every question has its like, so that a last bit decides between them
    U, V = U.astype(np.float32), V.astype(np.float32)
    truth = dict(zip(names, (rng.random(2000) < 0.5).astype(float), strict=True))
    found = set()
    try:
        for count, offset in ((1, 0), (2, 0), (1, 4), (2, 20), (2, 48)):
            torch.set_num_threads(count)
            factors = Factors(U, lying(V, offset), np.array(names), np.zeros(2000))
            session = answered(Session(factors, "new", budget=200), truth)
            found.add((*session.asked, *session.drawn.predicted, *session.drawn.probability))
    finally:
        torch.set_num_threads(threads)
    assert len(found) == 1


def test_resuming_what_was_changed_is_refused(tmp_path):
    factors, truth = board()
    path = tmp_path / "session.json"
    costs = np.ones(N)
    answered(Session(factors, "new", budget=40, tasks=TASKS, costs=costs), truth, 2).save(path)
    Session.resume(path, factors, TASKS, costs)

    def changed(**fields):
        return Factors(**{"U": factors.U, "V": factors.V, "questions": factors.questions,
                          "history_mean": factors.history_mean} | fields)

    nudged = factors.V * np.float32(1.001)
    other = TASKS.copy()
    other[0] = "small"
    for given, what in (((changed(V=nudged), TASKS, costs), "the factors V of the questions changed"),
                        ((changed(U=factors.U[:-1]), TASKS, costs), "the factors U of the history"),
                        ((changed(questions=factors.questions[::-1]), TASKS, costs), "the questions' names changed"),
                        ((factors, other, costs), "the tasks changed"), ((factors, None, costs), "the tasks changed"),
                        ((factors, TASKS, None), "the costs changed")):
        with pytest.raises(InputError, match=what):
            Session.resume(path, *given)


def test_autosave_has_every_question_and_answer(tmp_path):
    factors, truth = board()
    path = str(tmp_path / "session.json")
    session = Session(factors, "new", budget=40, autosave=path)
    asked = session.ask()
    assert Session.resume(path, factors).outstanding == asked
    session.tell(asked[0], truth[asked[0]])
    again = Session.resume(path, factors, autosave=True)
    assert again.outstanding == asked[1:]
    for name in asked[1:]:
        again.tell(name, truth[name])
    more = again.ask()
    assert Session.resume(path, factors).outstanding == more and more
    with pytest.raises(InputError, match=r"there already: Session\.resume"):
        Session(factors, "new", budget=40, autosave=path)


def test_edited_torn_and_foreign_files_are_refused(tmp_path):
    factors, truth = board()
    path = tmp_path / "session.json"
    answered(Session(factors, "new", budget=40), truth, 2).save(path)
    whole = json.loads(path.read_text())
    for edited in ({"answers": [1 - whole["answers"][0], *whole["answers"][1:]]}, {"seed": 1}, {"checksum": None},
                   {"asked": whole["asked"][::-1]}, {"budget": 41}):
        path.write_text(json.dumps(whole | edited))
        with pytest.raises(InputError, match="edited or damaged"):
            Session.resume(path, factors)
    path.write_text(json.dumps({key: value for key, value in whole.items() if key != "format"}))
    with pytest.raises(InputError, match="another version"):
        Session.resume(path, factors)
    for content in ("[]", "{}", "{", "\0"):
        path.write_text(content)
        with pytest.raises(InputError, match="not a saved session"):
            Session.resume(path, factors)
    with pytest.raises(InputError, match="not a saved session"):
        Session.resume(tmp_path / "absent.json", factors)


# --- sub-scores: coverage ----------------------------------------------------------------------------------

@pytest.mark.parametrize("partial", [False, True])
def test_sub_scores_cover(partial):
    """1,500 evaluations of models drawn from the prior, by group: the share covered is not below .95 by more than three
    binomial standard errors (.0169, so at least .933). The smallest group has two answers of thirty on average."""
    rng = np.random.default_rng(int(partial))
    trials, sizes = 1500, [200, 80, 20]
    V = np.c_[rng.normal(size=N) * 1.2, rng.normal(size=N) * 0.7]
    prior = Prior(np.array([1.0, 0.0]), np.diag([0.1, 1.0]))
    p = 1 / (1 + np.exp(-rng.multivariate_normal(prior.mean, prior.covariance, trials) @ V.T))
    z = rng.beta(1.5 * p + 0.01, 1.5 * (1 - p) + 0.01) if partial else (rng.random(p.shape) < p).astype(float)
    members = [np.repeat(np.arange(3), sizes) == g for g in range(3)]
    strata, groups = kinds_of_questions(V, prior.covariance), np.stack([np.ones(N), *members], 1)
    engine = Rounds(FactorPredictor(Bank.of(V), prior, trials), trials, N, strata=strata, groups=groups)
    trace = evaluate_rounds(engine, [30, 90], 8, 1.5, rng.random((trials, 12)), z)
    for budget in (30, 90):
        for g, inside in enumerate(members):
            found, truth = estimate(trace.by_budget[budget], g + 1, inside), z[:, inside].mean(1)
            assert found.interval().covers(truth).mean() >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / trials)
            assert abs((found.theta - truth).mean()) < 4 * (found.theta - truth).std() / np.sqrt(trials)
    answers = sum(members[2][one.asked].sum(1) for one in trace.by_budget[30])
    few = estimate(trace.by_budget[30], 3, members[2])
    assert (answers < 2).any() and np.isinf(few.se[answers < 2]).all()
    none = few.interval()
    assert (none.low[answers == 0] == 0).all() and (none.high[answers == 0] == 1).all()
    assert few.df[answers > 2].min() < few.df.max() <= 5 + answers.max()


def test_simultaneous_sub_scores_are_wider():
    factors, truth = board()
    session = answered(Session(factors, "new", budget=100, tasks=TASKS), truth)
    each, together = session.sub_scores(), session.sub_scores(simultaneous=True)
    assert all(together[name].high - together[name].low >= each[name].high - each[name].low for name in each)
    assert together["large"].high - together["large"].low > each["large"].high - each["large"].low


# --- the diagnosis of the history --------------------------------------------------------------------------

def simulated(new_u, seed=0, rows=600, partial=False):
    """Rounds of models with the given factors, or like the history; (trace, promise, scores)."""
    rng = np.random.default_rng(seed)
    V = np.c_[np.abs(rng.normal(size=N)) * 1.2, rng.normal(size=N), rng.normal(size=N) * 3]
    prior = Prior(np.array([1.0, 0.0, 1.0]), np.diag([0.5, 0.5, 0.1]))
    history = rng.multivariate_normal(prior.mean, prior.covariance, 60)
    u = rng.multivariate_normal(prior.mean, prior.covariance, rows) if new_u is None else np.tile(new_u, (rows, 1))
    p = 1 / (1 + np.exp(-u @ V.T))
    z = rng.beta(1.5 * p + 0.01, 1.5 * (1 - p) + 0.01) if partial else (rng.random(p.shape) < p).astype(float)
    engine = Rounds(Recalibrated(FactorPredictor(Bank.of(V), prior, rows)), rows, N)
    trace = evaluate_rounds(engine, [20, 75], 8, 1.5, rng.random((rows, 12)), z)
    return trace, Promise.of(Factors(history, V, np.arange(N).astype(str), np.zeros(N))), z


@pytest.mark.parametrize("partial", [False, True])
def test_models_like_the_history_are_not_said_to_be_misled(partial):
    trace, promise, _ = simulated(None, partial=partial)
    for budget in (20, 75):
        found = diagnose(trace.by_budget[budget], estimate(trace.by_budget[budget]), promise)
        assert found.misled(promise).mean() <= 0.05
        assert found.trust.rests.mean() <= 0.05
    assert abs(found.surprise.mean()) < 0.3 and 0.8 < found.surprise.std() < 1.4
    assert found.dispersion.mean() == pytest.approx(1, abs=0.1)
    assert np.median(found.gain) > (1.3 if partial else 1.5)


@pytest.mark.parametrize("u", [(-2.0, 0.0, 0.0), (-1.0, -1.0, -0.5)])
def test_models_unlike_the_history_are_said_to_be_misled(u):
    trace, promise, _ = simulated(np.array(u))
    rounds = trace.by_budget[75]
    found = diagnose(rounds, estimate(rounds), promise)
    assert found.misled(promise).mean() > 0.6
    assert np.median(found.gain) < 0.75 * promise.gain
    assert np.median(found.distance) < -2


@pytest.mark.parametrize("partial", [False, True])
def test_the_gain_compares_with_random_questions(partial):
    """The variance of the scores is estimated without much bias, of partial credit too."""
    trace, promise, z = simulated(None, 5, 400, partial)
    rounds = trace.by_budget[75]
    found = estimate(rounds)
    variance = diagnose(rounds, found, promise).gain * found.se**2 * 75 / (1 - 75 / N)
    assert variance.mean() == pytest.approx(z.var(1, ddof=1).mean(), rel=0.05)


def test_without_predictions_and_choice_nothing_is_gained():
    z = (np.random.default_rng(1).random((50, 40)) < 0.6).astype(float)
    engine = Rounds(FactorPredictor(Bank.of(np.zeros((40, 1))), Prior(np.zeros(1), np.eye(1)), 50), 50, 40, tau=1.0)
    trace = evaluate_rounds(engine, [20, 40], 40, 1.5, np.random.default_rng(2).random((50, 9)), z)
    found = estimate(trace.by_budget[20])
    flat = Promise(0.5, 0.1, 0.2, 0.8, 1.0)
    assert np.median(diagnose(trace.by_budget[20], found, flat).gain) == pytest.approx(1, abs=0.15)
    whole = diagnose(trace.by_budget[40], estimate(trace.by_budget[40]), flat)
    assert not whole.misled(flat).any()


def test_a_sentence_only_where_the_history_misleads():
    promise = Promise(0.3, 0.05, 0.2, 0.4, 2.4)
    row = {"surprise": np.array([1.0]), "dispersion": np.array([1.2]), "excess": np.array([0.5]),
           "beyond": np.array([True]), "asked": LEAST}
    bad, middling, good = (HistoryDiagnosis.of(Diagnoses(gain=np.array([gain]), distance=np.array([distance]), **row),
                                               promise) for gain, distance in ((1.0, 6.0), (1.5, 6.0), (1.0, 0.1)))
    assert bad.sentence == ("the history predicts this model badly: intervals are valid but no narrower than with "
                            "random questions")
    assert "1.5 times as many random questions, not the promised 2.4" in middling.sentence
    assert not good.misleads and good.sentence == ""
    assert bad.sentence in repr(Finding(0.9, 0.8, 1.0, 20, bad))
    assert "badly" not in repr(Finding(0.9, 0.8, 1.0, 20, good))
    assert "outside of which" in repr(Finding(0.79, 0.8, 1.0, 20))


def test_a_session_is_told_when_it_rests_on_the_history_s_word():
    """All but 20 of 300 questions are taken for certain; nothing shows whether they are."""
    V = np.where(np.arange(300) < 280, 8.0, 0.0)[:, None].astype(np.float32)
    factors = Factors(np.array([[1.0], [1.01]], np.float32), V, np.array([f"q{j}" for j in range(300)]),
                      np.full(300, 0.97))
    right = {name: float(j < 280 or j % 2) for j, name in enumerate(factors.questions)}
    found = answered(Session(factors, "sure", budget=30), right).estimate()
    assert found.history.on_trust and not found.history.misleads and found.history.trusted > 0.8
    assert "the history is taken at its word for " in repr(found) and "does not allow for that" in repr(found)
    json.dumps(found.to_dict(), allow_nan=False)
    wrong = {name: float(j % 4 > 0) for j, name in enumerate(factors.questions)}
    seen = answered(Session(factors, "sure", budget=30), wrong).estimate()
    assert not seen.history.on_trust and "word" not in repr(seen)
    assert not answered(Session(factors, "sure", budget=12), right).estimate().history.on_trust  # too early to say


def test_a_session_is_told_of_a_history_that_misleads():
    """Answers are coins: 76 % of such runs of 150 questions are told so (400 seeds), hence several."""
    factors, _ = board()
    sure = Factors(factors.U, 2 * factors.V, factors.questions, factors.history_mean)
    coins = [dict(zip(factors.questions, np.random.default_rng(seed).random(N) < 0.6, strict=True))
             for seed in range(12)]
    found = [answered(Session(sure, "coin", budget=150), answers).estimate() for answers in coins]
    told = [one for one in found if one.history.misleads]
    assert len(told) >= 5, "fewer have probability .002"
    for one in told:
        assert one.history.gain < 0.75 * one.history.promised
        assert "predicts this model badly" in repr(one)
        json.dumps(one.to_dict(), allow_nan=False)
    early = [answered(Session(sure, "coin", budget=12), answers).estimate() for answers in coins]
    assert not any(one.history.misleads for one in early)


# --- recalibration ---------------------------------------------------------------------------------------

class Fixed:
    """Predicts the same of every question, and learns nothing."""

    outcomes = (0.0, 1.0)

    def __init__(self, p):
        self.p = p

    def learn(self, asked, answers):
        pass

    def predict(self):
        return OfScores(self.p)


def test_recalibration_leaves_good_predictions_and_moves_bad_ones():
    rng = np.random.default_rng(0)
    logits = torch.as_tensor(rng.normal(size=(2, 4000)) * 2)
    p = torch.sigmoid(logits)
    one = Recalibrated(Fixed(p))
    torch.testing.assert_close(one.predict().mean, p, atol=1e-5, rtol=0)
    # Row 0 answers as predicted; row 1 as a stronger model that half the history's contrasts apply to.
    right = torch.sigmoid(torch.stack([logits[0], 1 + logits[1] / 2]))
    asked = torch.arange(4000).repeat(2, 1)
    answers = (torch.as_tensor(rng.random((2, 4000))) < right).double()
    one.learn(asked, answers)
    moved = one.predict().mean
    assert (moved[0] - p[0]).abs().max() < 0.03
    assert (moved[1] - right[1]).abs().mean() < 0.03 < (p[1] - right[1]).abs().mean()


def test_recalibrated_rounds_stay_unbiased():
    """A tiny bank, a predictor that is wrong, 4,000 evaluations of the same scores: the mean error is within four of
    its standard errors, and the same model is asked other questions than without recalibration."""
    rng, trials = np.random.default_rng(3), 4000
    z = np.tile((np.arange(24) % 3 == 0).astype(float), (trials, 1))
    p = torch.as_tensor(np.tile(np.linspace(0.03, 0.97, 24), (trials, 1)))
    engine = Rounds(Recalibrated(Fixed(p)), trials, 24)
    trace = evaluate_rounds(engine, [15], 4, 1.5, rng.random((trials, 9)), z)
    error = estimate(trace.rounds).theta - z[0].mean()
    assert abs(error.mean()) < 4 * error.std() / np.sqrt(trials)
    last = trace.rounds[-1]
    assert not np.allclose(last.p, p.numpy()[0][last.asked])


@pytest.mark.parametrize("seed", range(6))
def test_recalibrated_rounds_are_exactly_unbiased(seed):
    """Over every systematic sample of every round: what is learned before a round cannot bias it."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(4, 9))
    V, mean = rng.normal(size=(n, 2)) * 2, rng.normal(size=2)
    z = rng.integers(0, 2, n).astype(float) if seed % 2 else rng.random(n)
    sizes = schedule(int(rng.integers(3, n + 1)), n, first=2)
    leaves, _ = every_outcome(lambda: Rounds(Recalibrated(Logistic(V, mean)), 1, n), z, sizes)
    assert abs(sum(p * estimate(rounds).theta[0] for p, rounds in leaves) - z.mean()) < 1e-9
