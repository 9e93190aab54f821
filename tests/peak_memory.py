"""Run a script in this process and print, as the last line, the peak resident memory in MB."""

import resource
import runpy
import sys

sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    if end.code:
        raise
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
