"""Start a script again and again, `kill -9` it at a random moment, and let it end the last time.

    python tests/helpers/kill_loop.py TIMES SECONDS SCRIPT [FLAG …]

Every run is a process of its own, forked from this one after the imports (which would otherwise be most of the
time); its moment is uniform between 0 and SECONDS. Prints the numbers of runs killed and of those that ended first.
"""

import contextlib
import importlib.util
import json
import os
import random
import signal
import sys
import time


def main(times: int, seconds: float, script: str, flags: list[str]) -> int:
    spec = importlib.util.spec_from_file_location("script", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    import pyarrow.parquet  # noqa: F401 (imported late by the script, as are these)

    import llm_accuracy.leaderboard.assembling
    import llm_accuracy.leaderboard.pricing  # noqa: F401

    rng = random.Random(0)
    killed = early = 0
    while killed < times:
        child = start(module, flags)
        time.sleep(rng.uniform(0.0, seconds))
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            killed += 1
        else:
            early += 1
        if early > 5 * times:
            break
    _, status = os.waitpid(start(module, flags), 0)
    print(json.dumps({"killed": killed, "finished_early": early}))
    return os.waitstatus_to_exitcode(status)


def start(module, flags: list[str]) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            module.main(flags)
            code = 0
        finally:
            sys.stdout.flush()
            os._exit(code)
    return child


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3], sys.argv[4:]))
