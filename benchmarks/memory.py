"""The memory that a benchmark held at most: what all of them print at the end."""

import re
import resource
from pathlib import Path

MIB = 1 << 20


def resident(which="VmHWM"):
    """Peak resident memory of this process so far, or "VmRSS", what it has now, MiB; nan where there is no /proc.
    (ru_maxrss would remember the parent's across exec.)"""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return float("nan")
    return int(re.search(which + r":\s+(\d+) kB", status)[1]) / 1024


def of_children():
    """Peak resident memory of the largest process that this one started and waited for, MiB; 0 without any. (A child
    is this process until it becomes another program, so it is not told apart below what this one holds.)"""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def with_peak(main):
    """`main`, which prints its process's peak memory after it, and that of the largest process it started."""

    def measured(argv=None):
        code = main(argv)
        child = of_children()
        print(f"peak memory: {resident():.0f} MiB"
              + (f", the largest process started from here {child:.0f} MiB" if child else ""))
        return code

    return measured
