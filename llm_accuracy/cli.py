"""What the numbered scripts share: flags, exit codes, one progress bar."""

from __future__ import annotations

import argparse
import errno
import math
import os
import re
import runpy
import shlex
import subprocess
import sys
import textwrap
import time
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, NoReturn

from .errors import InputError
from .streams import no_reader, open_closed, plain_where_needed
from .visible import visible

BAD_INPUT = 2
INTERRUPTED = 130
MOST_SEEDS = 100_000
SECONDS_BETWEEN_PLAIN_LINES = 15.0


def run(main: Callable[[list[str] | None], int | None]) -> None:
    """Run a script's `main` and exit: 0 (or what `main` returns), 2 for bad input, 130 for Ctrl-C.

    Bad input is one line, whatever it was: InputError, what the system refuses (a full or read-only disk, no
    permission, a name too long, a folder in the place of a file), or more memory than there is. Any other exception is
    a bug and shows its traceback. What is printed survives a terminal that is not UTF-8, and no terminal at all.
    """
    open_closed()
    plain_where_needed()
    code = 0
    try:
        code = main(None) or 0
        sys.stdout.flush()
    except InputError as error:
        code = refuse(error)
    except KeyboardInterrupt:
        print("interrupted; finished trials are kept, the same command continues", file=sys.stderr)
        code = INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has left: nothing more to say, and nothing to flush at exit. What main has returned,
        # such as the verdict of a gate, is the exit code all the same.
        no_reader(sys.stdout)
    except OSError as error:
        code = refuse(_of_system(error))
    except MemoryError as error:
        code = refuse(f"not enough memory ({error or 'no more to be had'}); take fewer models or questions at a time")
    sys.exit(code)


def refuse(what: object) -> int:
    """Print an error as one line, and return its exit code."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    with suppress(OSError):  # a full disk behind standard error: the exit code still says it
        print(f"error: {visible(' '.join(str(what).split()))}", file=sys.stderr, flush=True)
    return BAD_INPUT


def _of_system(error: OSError) -> str:
    """/dev/full: No space left on device."""
    where = " and ".join(os.fsdecode(name) for name in (error.filename, error.filename2)
                         if isinstance(name, (str, bytes)))
    what = error.strerror or str(error) or type(error).__name__
    advice = {errno.ENOSPC: "; make room and run the same command again", errno.EDQUOT: "; make room",
              errno.ENAMETOOLONG: "; choose a shorter name", errno.EACCES: "; choose another place",
              errno.EROFS: "; choose another place", errno.ENOTDIR: "; a file stands where a folder is needed",
              errno.EISDIR: "; a folder stands where a file is needed"}.get(error.errno or 0, "")
    return f"{where[:500] + ': ' if where else ''}{what}{advice}"


def step(script: str, *arguments: object) -> None:
    """Run one script of the project as its user would, showing the command, and stop if it fails."""
    words = [str(word) for word in arguments]
    print(f"\n$ python {script} {shlex.join(words)}", flush=True)
    code = subprocess.run([sys.executable, Path(__file__).resolve().parents[1] / script, *words]).returncode
    if code:
        sys.exit(code)


def step_here(script: str, *arguments: object) -> None:
    """`step` in this process, which has imported most of what the script needs."""
    words, before = [str(word) for word in arguments], sys.argv
    path = str(Path(__file__).resolve().parents[1] / script)
    print(f"\n$ python {script} {shlex.join(words)}", flush=True)
    sys.argv = [path, *words]
    try:
        runpy.run_path(path, run_name="__main__")
    except SystemExit as ended:
        if ended.code:
            raise
    finally:
        sys.argv = before


def said(script: str, *arguments: object) -> str:
    """What one script of the project prints; exits with its error if it fails."""
    done = subprocess.run([sys.executable, Path(__file__).resolve().parents[1] / script, *map(str, arguments)],
                          text=True, capture_output=True)
    if done.returncode:
        sys.exit(done.stderr.strip())
    return done.stdout


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser that prints the script's docstring with its own line breaks, where the terminal is as wide, and refuses
    in one line."""
    return Parser(description=description, formatter_class=Formatter)


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Of a docstring, paragraphs that are wider than the terminal are wrapped; of a command that is, what stands behind
    it goes below."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        whole = super()._fill_text(text, width, indent)
        return "\n\n".join(self._narrowed(part, width) for part in whole.split("\n\n"))

    @staticmethod
    def _narrowed(paragraph: str, width: int) -> str:
        lines = paragraph.splitlines()
        if not any(len(line) > width for line in lines):
            return paragraph
        if not any(line.startswith((" ", "*")) for line in lines):
            return textwrap.fill(paragraph, width, break_on_hyphens=False, break_long_words=False)
        out = []
        for line in lines:
            command, gap, said = line.rpartition("   ")
            wide = len(line) > width and gap and command.strip()
            out += [command.rstrip(), f"        {said.strip()}"] if wide else [line]
        return "\n".join(out)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, and which refuses a list with one value twice, a blank path (as of a variable
    that is not set, which would be the current folder), and numbers that only Python takes for such (1_0, other
    digits)."""

    def __init__(self, *given, **named):
        super().__init__(*given, **named)
        for kind, strict in ((Path, path), (int, whole), (float, real)):
            self.register("type", kind, strict)

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[override]
        found, rest = super().parse_known_args(args, namespace)
        for action in self._actions:
            values = getattr(found, action.dest, None)
            if action.option_strings and values == [] and values is not action.default:  # all there was is --
                raise InputError(f"{action.option_strings[0]}: a value is needed")
            if action.option_strings and action.nargs == "+" and isinstance(values, list):
                for value in values:
                    if values.count(value) > 1:
                        raise InputError(f"{action.option_strings[0]}: {value} is given twice")
        return found, rest

    def error(self, message: str) -> NoReturn:
        self.exit(refuse(f"{message} ({self.prog} --help lists what there is)"))


def shard(text: str) -> tuple[int, int]:
    """`i/n` → (i, n), 0 ≤ i < n: this process takes every n-th unit of work, beginning with the i-th."""
    found = re.fullmatch(r"([0-9]{1,300})/([0-9]{1,300})", text)
    index, count = (found[1], found[2]) if found else ("0", "0")
    if not int(index) < int(count):
        raise argparse.ArgumentTypeError(f"{text!r} is not i/n with 0 <= i < n (shards count from 0)")
    return int(index), int(count)


def whole(text: str) -> int:
    """An argparse type: an integer in ASCII digits."""
    if not re.fullmatch(r"\s*[+-]?[0-9]{1,300}\s*", text):
        raise argparse.ArgumentTypeError(f"{text[:60]!r} is not an integer")
    return int(text)


def real(text: str) -> float:
    """An argparse type: a number in ASCII digits, nan and inf included, of which each flag says what it thinks."""
    if not (text.isascii() and "_" not in text):
        raise argparse.ArgumentTypeError(f"{text[:60]!r} is not a number")
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:60]!r} is not a number") from None


def at_least(least: int, most: int = 2**31 - 1) -> Callable[[str], int]:
    """An argparse type: an integer from `least` to `most`."""

    def integer(text: str) -> int:
        value = whole(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is too small: at least {least}")
        if value > most:
            raise argparse.ArgumentTypeError(f"{value} is too large: at most {most}")
        return value

    return integer


def number(least: float = 0.0, most: float = math.inf) -> Callable[[str], float]:
    """An argparse type: a finite number from `least` to `most`."""
    bounds = f"a number from {least:g} to {most:g}" if most < math.inf else f"a finite number of {least:g} or more"

    def finite(text: str) -> float:
        try:
            value = real(text)
        except argparse.ArgumentTypeError:
            value = math.nan
        if not (least <= value <= most and math.isfinite(value)):
            raise argparse.ArgumentTypeError(f"{text[:60]!r} is not {bounds}")
        return value

    return finite


def as_written(check: Callable[[str], object]) -> Callable[[str], str]:
    """An argparse type: the text itself, where `check` takes it: as part of a key, a number stays as it was written."""

    def same(text: str) -> str:
        check(text)
        return text

    return same


def path(text: str) -> Path:
    """An argparse type: a path; no blank one, as of a variable that is not set, which would be the current folder, none
    that a terminal would obey where it is printed, and no link that leads to itself."""
    if not text.strip():
        raise argparse.ArgumentTypeError("a path is needed, not an empty text (. is the current folder)")
    if any(unicodedata.category(letter) == "Cc" for letter in text):
        raise argparse.ArgumentTypeError(f"{visible(text)}: control characters in a name; give it another")
    try:
        os.stat(text)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise argparse.ArgumentTypeError(f"{text}: a link that leads to itself") from None
    return Path(text)


def stem(text: str) -> Path:
    """An argparse type: the beginning of file names, such as figures/audit."""
    found = path(text)
    if not found.name or found.name == "..":
        raise argparse.ArgumentTypeError(f"{text!r} names no file")
    return found


_STUDY_FLAGS: dict[str, dict] = {
    "tier": dict(choices=("laptop", "paper"), default="laptop",
                 help="grid of experiments: laptop (default, minutes on two cores) or paper (all of it)"),
    "datasets": dict(nargs="+", metavar="NAME", help="folders or zips under --data-dir"),
    "scenarios": dict(nargs="+", metavar="KEY", help="missingness of the history, e.g. nfobs=50_p=0.1"),
    "budgets": dict(nargs="+", metavar="B", help="numbers of questions, or shares such as 5%%"),
    "seeds": dict(type=at_least(1, MOST_SEEDS), metavar="S", help="run seeds 0 … S-1"),
    "models": dict(type=at_least(1), metavar="M", help="only the first M new models"),
    "data-dir": dict(type=path, default=Path("data/processed"), metavar="DIR"),
    "logs-dir": dict(type=path, default=Path("logs"), metavar="DIR",
                     help="(default: logs; of a data set of your own, local/NAME)"),
    "factors-dir": dict(type=path, metavar="DIR", help="factor models (default: LOGS_DIR/factor_models)"),
    "device": dict(choices=("auto", "cpu", "cuda"), default="auto"),
    "shard": dict(type=shard, default=(0, 1), metavar="i/n",
                  help="do the i-th of n equal parts of the work, counting from 0"),
    "workers": dict(type=at_least(1, 1024), default=1, metavar="N",
                    help="share the work out to N processes on this machine, each with its share of the cores"),
    "part-dir": dict(type=path, metavar="DIR",
                     help="append to logs in DIR what those in --logs-dir lack: a shard beside others, gathered by "
                     "summarize_results.py --merge"),
    "restart": dict(action="store_true", help="put an old log aside (NAME.before.csv) and begin it anew"),
    "dry-run": dict(action="store_true", help="print how many trials would run and about how long; run none"),
}


def add_study_flags(to: argparse.ArgumentParser, *names: str) -> argparse.ArgumentParser:
    """Add the named common flags (all of them by default), so that they mean the same in every script."""
    for name in names or tuple(_STUDY_FLAGS):
        to.add_argument(f"--{name}", **_STUDY_FLAGS[name])
    return to


def add_own_logs_flag(to: argparse.ArgumentParser, folder: str) -> None:
    """--logs-dir of a script that is run on a user's own data: its default is no folder of committed results."""
    to.add_argument("--logs-dir", type=path, default=Path(folder), metavar="DIR", help=f"(default: {folder})")


def device(choice: str) -> str:
    """`auto` → `cuda` where there is one, else `cpu`.

    Raises InputError if `cuda` is asked for and absent.
    """
    import torch

    if choice == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch sees no CUDA device here; use --device cpu")
    if choice == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return choice


def is_given(value: object) -> bool:
    """Whether a flag of this parsed value is on the command line; 0 is a value, though it equals False."""
    return value is not None and value is not False and value not in ([], {})


class Progress:
    """A bar with the time left on a terminal; elsewhere an occasional plain line, which keeps logs readable."""

    shown: ClassVar[list[Progress]] = []

    def __init__(self, total: int, what: str, unit: str = "trial"):
        self.total, self.what, self.unit = total, what, unit
        self.done, self.start = 0, time.monotonic()
        self.last_line = self.start
        self.bar = _bar(total, what, unit) if sys.stderr.isatty() else None

    def advance(self, n: int = 1) -> None:
        self.done += n
        if self.bar is not None:
            self.bar.update(n)
            return
        now = time.monotonic()
        if now - self.last_line >= SECONDS_BETWEEN_PLAIN_LINES and 0 < self.done < self.total:
            self.last_line = now
            left = (now - self.start) / self.done * (self.total - self.done)
            self._line(f"about {duration(left)} left")

    def note(self, text: str) -> None:
        """Print a line without breaking the bar."""
        if self.bar is not None:
            self.bar.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)

    def _line(self, tail: str) -> None:
        print(f"{self.what}: {self.done}/{self.total} {self.unit}s, {tail}", file=sys.stderr, flush=True)

    def __enter__(self) -> Progress:
        Progress.shown.append(self)
        return self

    def close(self) -> None:
        """Take the bar away; say nothing."""
        if self in Progress.shown:
            Progress.shown.remove(self)
        if self.bar is not None:
            self.bar.close()

    def __exit__(self, error, *_) -> None:
        self.close()
        if self.bar is None and error is None:
            self._line(f"{duration(time.monotonic() - self.start)} in all")


def note(text: str) -> None:
    """Print a line on standard error, without breaking the bar that is shown."""
    if Progress.shown:
        Progress.shown[-1].note(text)
    else:
        print(text, file=sys.stderr, flush=True)


def _bar(total: int, what: str, unit: str):
    """A bar of tqdm, or None where tqdm is not installed: the core needs none of it."""
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=total, desc=what, unit=unit, dynamic_ncols=True)


def seconds(text: str) -> float:
    """What `duration` has written somewhere in a text, to its precision; 0 where it stands nowhere."""
    found = re.search(r"about (?:(?:(\d+) h )?(\d+) min(?: (\d+) s)?|([\d.]+) s)", text)
    if not found:
        return 0.0
    hours, minutes, rest, only = (float(part or 0) for part in found.groups())
    return 3600 * hours + 60 * minutes + rest + only


def duration(seconds: float) -> str:
    """3.2 s, 2 min 05 s, 3 h 10 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
