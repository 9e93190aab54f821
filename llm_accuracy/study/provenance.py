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
    """Raise InputError if rows of one dataset, scenario and number of models, of one log or of several, were computed
    from different histories, new models, factors or constants, or if an arm's seeds have different numbers of models:
    they must not stand in one table. Older rows, of which nobody knows, are left aside."""
    for name in (name for name in MADE_FROM if name in rows):
        known = rows[~rows[name].isin([UNKNOWN, UNUSED])]
        # How factors were fitted is part of `protocol`, so trials that use none have another.
        apart = known["factors"] == UNUSED if name == "protocol" else pd.Series(False, known.index)
        for (dataset, scenario, *_), of_cell in known.groupby(
                [known["dataset"], known["scenario"], known["models"], apart], sort=False):
            if len(found := of_cell[name].unique()) > 1:
                raise InputError(f"{where}: the trials of {dataset} {scenario} were computed from different "
                                 f"{name.replace('_', ' ')} ({', '.join(found)}), so they must not stand in one table; "
                                 "run the older ones again with --restart, or into another --logs-dir")
    for arm, models in rows.groupby(list(ARM), sort=False)["models"]:
        if len(found := models.unique()) > 1:
            raise InputError(f"{where}: the trials of {', '.join(map(str, arm))} are of "
                             f"{' and '.join(map(str, found))} models, so they must not stand in one table; run all "
                             "with the same --models, with --restart or into another --logs-dir")


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
