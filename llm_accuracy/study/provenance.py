"""Which rows of logs may be believed together, and beside the data at hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from .. import cli
from ..errors import InputError
from .columns import ARM, CV_MADE_FROM, MADE_FROM, UNKNOWN, UNUSED
from .ledger import differences


def refuse_mixed(rows: pd.DataFrame, where: object) -> None:
    """Raise InputError if rows of one dataset and scenario, of one log or of several, were computed from different
    histories or factors, or from different new models of one number, or if the seeds of an arm differ in the number of
    models or in the constants: they must not stand in one table. Of arms that differ in constants, say so. Older rows,
    of which nobody knows, are left aside."""
    for name in (name for name in ("history", "new_models", "factors") if name in rows):
        known = rows[~rows[name].isin([UNKNOWN, UNUSED])]
        apart = known["models" if name == "new_models" else "dataset"]
        for (dataset, scenario, _), of_cell in known.groupby([known["dataset"], known["scenario"], apart], sort=False):
            if len(found := of_cell[name].unique()) > 1:
                raise InputError(f"{where}: the trials of {dataset} {scenario} were computed from different "
                                 f"{name.replace('_', ' ')} ({', '.join(found)}), so they must not stand in one table; "
                                 "run the older ones again with --restart, or into another --logs-dir")
    for arm, of_arm in rows.groupby(list(ARM), sort=False):
        for name in (name for name in ("models", "protocol") if name in rows):
            if len(found := of_arm[name].unique()) > 1:
                raise InputError(f"{where}: the trials of {', '.join(map(str, arm))} differ in {name} "
                                 f"({', '.join(map(str, found))}), so they must not stand in one table; run all of "
                                 "them again with --restart, or into another --logs-dir")
    if "protocol" in rows:
        known = rows[rows["protocol"] != UNKNOWN]
        by = [known["dataset"], known["scenario"], known["factors"] == UNUSED]
        versions = known.groupby(by)["protocol"].nunique()
        for dataset, scenario, _ in versions[versions > 1].index:
            cli.note(f"{where}: the methods on {dataset} {scenario} were run with different constants of the engine or "
                     "of the fit (column protocol)")


def refuse_stale(rows: pd.DataFrame, now: Mapping[str, str], log: Path) -> None:
    """Raise InputError if rows of one dataset and scenario that are about to be used were computed from something else
    than what is there `now`, or not all from the same; of rows of which nobody knows, say so."""
    if rows.empty:
        return
    cell = " ".join(rows[["dataset", "scenario"]].iloc[0])
    for name in (name for name in dict.fromkeys((*MADE_FROM, *CV_MADE_FROM)) if name in rows):
        known = rows.loc[rows[name] != UNKNOWN, name]
        wanted = now.get(name, known.iloc[0] if len(known) else UNKNOWN)
        if (other := known[known != wanted]).size:
            change = differences([name], {name: other.iloc[0]}, {name: wanted})
            raise InputError(f"{log}: its rows of {cell} were computed from other data or in another way ({change}); "
                             f"run {log.stem.removesuffix('_models')}.py again, with another --logs-dir, or with "
                             "--restart, which puts the old log aside")
        if len(known) < len(rows) and name in now:
            cli.note(f"{log}: rows of {cell} come from an older log, so their {name.replace('_', ' ')} is unknown")
