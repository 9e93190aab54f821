"""The study of the paper, run again: grids, trials, their logs, tables and figures."""
