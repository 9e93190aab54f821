"""Run a script in this process and print, as the last line, the peak resident memory in MB."""

import re
import runpy
import sys
from pathlib import Path

sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    if end.code:
        raise
# Not ru_maxrss: across fork and exec that one remembers the parent, here a test run of many hundred megabytes.
status = Path("/proc/self/status").read_text()
print(int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) // 1024)
