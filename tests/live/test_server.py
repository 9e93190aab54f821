"""`evaluate` of a server that speaks the OpenAI protocol, through lm-evaluation-harness's own client."""

import json
from collections import Counter

import openai_server
import pytest
from conftest import HARNESS, harness_python, not_installed
from openai_server import BUSY, KEY, OK, SLOW, Server
from test_harnesses import answers, asked, made, steps

HELPER = "live_lm_eval.py"


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """Tasks, a history without its first task, and the answers of the model that is served."""
    harness_python()
    if not list(HARNESS.glob("lib/python3*/site-packages/tenacity")):
        not_installed("tenacity in .venv-lm-eval", "lm_eval's client needs it; `make test` installs it")
    return made(HELPER, tmp_path_factory.mktemp("served"))


def words(server, run, budget=20):
    return ["evaluate", run, "--history", "M1.csv", "--factors", "factors.npz", "--budget", str(budget), "--lm-eval",
            f"--model local-chat-completions --model_args model=served,base_url={server.url},max_retries=3,"
            f"timeout={openai_server.PATIENCE} --tasks live_b --include_path . --apply_chat_template"]


def begun(folder, server, run, respond):
    """One `evaluate` in a process of its own."""
    server.respond, server.calls[:] = respond, []
    return steps(HELPER, folder, [[{"OPENAI_API_KEY": KEY}, words(server, run)]])[0]


def test_answers_retries_and_a_server_that_fails(board):
    folder, truth = board
    with Server(truth) as server:
        code, _, said = begun(folder, server, "whole", lambda number: {3: BUSY, 6: SLOW}.get(number, OK))
        assert code == 0, said
        found = answers(folder / "whole")
        assert len(found) == 20 and found == {name: truth[name] for name in found}
        assert Counter(how for _, how in server.calls) == {OK: 20, BUSY: 1, SLOW: 1}

        code, _, said = begun(folder, server, "failing", lambda number: OK if number <= 11 else BUSY)
        errors = [line for line in said.splitlines() if line.startswith("error:")]
        assert code == 2 and len(errors) == 1 and "429" in errors[0] and "--resume" in errors[0]
        assert "Traceback" not in said
        server.respond, server.calls[:] = (lambda number: OK), []
        [(code, _, said)] = steps(HELPER, folder, [[{"OPENAI_API_KEY": KEY}, ["evaluate", "failing", "--resume"]]])
        assert code == 0, said
        assert len(server.calls) == 20 - 11, "what was answered before the server failed is not asked again"
        assert asked(folder / "failing") == asked(folder / "whole") and answers(folder / "failing") == found

        [(code, _, said)] = steps(HELPER, folder, [[{"OPENAI_API_KEY": "sk-another-one-0000"}, words(server, "no")]])
        assert code == 2 and "401" in said and "sk-another-one-0000" not in said
    for path in folder.rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes() and b"sk-another" not in path.read_bytes(), path


def test_no_server(board):
    folder, truth = board
    with Server(truth) as gone:
        pass
    [(code, _, said)] = steps(HELPER, folder, [[{"OPENAI_API_KEY": KEY}, words(gone, "alone")]])
    assert code == 2 and said.splitlines()[-1].startswith("error:") and "Traceback" not in said
    manifest = json.loads((folder / "alone" / "manifest.json").read_text())
    assert manifest["asked"]["settings"]["model"] == "local-chat-completions"
