"""Commands run one after the other in children of one process, so that heavy packages are imported once."""

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path


def run_steps(main: Callable[[list[str]], object]) -> None:
    """Read [[{variable: value}, [words…]], …] on stdin; print [[exit code, stdout, stderr], …], a signal as −number."""
    steps = json.load(sys.stdin)
    print(json.dumps([_run(main, environment, words) for environment, words in steps]))


def _run(main, environment: dict[str, str], words: list[str]) -> tuple[int, str, str]:
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder) / name for name in ("stdout", "stderr")]
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            for number, output in enumerate(outputs, start=1):
                os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT), number)
            os.environ.update(environment)
            code = 70
            try:
                main(words)
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return code, *(output.read_text() for output in outputs)
