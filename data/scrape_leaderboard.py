"""Step 1a: per-question answers of thousands of models, from the Open LLM Leaderboard's details datasets.

    python data/scrape_leaderboard.py --datasets mmlu-pro --limit 50 --dry-run     what it would cost
    python data/scrape_leaderboard.py --datasets mmlu-pro --limit 50               fifty models spread over score
    python data/scrape_leaderboard.py                                              both suites, all models

The details are gated: accept their conditions on the hub once and log in (`hf auth login`, or set HF_TOKEN).
One MMLU-Pro file is about 380 MB, nearly all of it repeated prompts; it is read as it arrives and dropped, and
where the hub has converted it to parquet only the needed columns are fetched. Nothing raw is kept and the hub
cache is not used. All models of both suites: over a terabyte by streaming, 120 MB kept. Stop it at any time and
give the same command again: finished tasks are kept, a broken file is taken up where it broke. One scraper at a time
may write to a RAW_DIR.

Writes RAW_DIR/<dataset>/models/*.json (one per model), docs/*.csv (hash and category of every question),
failures.csv (model, task, reason) and published_scores.csv (every mean beside the leaderboard's own); then
DATA_DIR/<dataset>/M1.csv, M2.csv, questions.csv and manifest.json. Models with a task missing are left out; the
older half by upload date is the history M1.
"""

import argparse
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from llm_accuracy import cli
from llm_accuracy.errors import InputError
from llm_accuracy.files import limit_to
from llm_accuracy.leaderboard import suites


def main(argv=None):
    args = flags().parse_args(argv)
    if args.since and not re.fullmatch(r"\d{4}-\d\d-\d\d", args.since):
        raise InputError(f"--since {args.since}: write the day as 2024-06-01")
    if unknown := sorted(set(args.datasets) - set(suites.SUITES)):
        raise InputError(f"--datasets {unknown[0]}: the suites are {' and '.join(suites.SUITES)}")
    limit_to(args.max_size)
    from llm_accuracy.leaderboard.assembling import refuse_foreign

    try:
        for suite in args.datasets:
            refuse_foreign(args.data_dir / suite, args.overwrite)
        work(args)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise InputError(f"{error.filename or args.raw_dir}: {error.strerror}; what is finished is kept") from None


def work(args: argparse.Namespace) -> None:
    from llm_accuracy.leaderboard.assembling import assemble, refuse_fewer
    from llm_accuracy.leaderboard.hub import Hub
    from llm_accuracy.leaderboard.pricing import price
    from llm_accuracy.leaderboard.scraping import Contents, Scrape, choose

    hub = Hub(retries=args.retries, first_wait=args.wait)
    contents = Contents.load(hub, args.raw_dir, args.refresh, keep=not args.dry_run)
    asked = (args.models, args.since, args.one_per_base_model, args.limit)
    chosen = {suite: choose(contents.models, suites.SUITES[suite], *asked) for suite in args.datasets}
    if args.dry_run:
        for suite, models in chosen.items():
            for line in price(hub, suite, models, not args.no_parquet, args.jobs):
                print(line)
        return
    for suite, models in chosen.items():
        refuse_fewer(args.data_dir / suite, models, args.overwrite)
    for suite, models in chosen.items():
        raw, tasks = args.raw_dir / suite, suites.SUITES[suite]
        scrape = Scrape(hub, tasks, raw, not args.no_parquet, args.checkpoint, args.refresh)
        failures = scrape.run(models, args.jobs, suite)
        print(*assemble(suite, tasks, models, failures, contents.revision, raw, args.data_dir).lines(), sep="\n")


def flags() -> argparse.ArgumentParser:
    parser = cli.add_study_flags(cli.parser(__doc__), "data-dir")
    parser.add_argument("--raw-dir", type=Path, default=Path("data/raw"), metavar="DIR")
    parser.add_argument("--datasets", nargs="+", default=list(suites.SUITES), metavar="SUITE",
                        help=f"{' and '.join(suites.SUITES)} (default: both)")
    parser.add_argument("--dry-run", action="store_true", help="print the bytes and hours it would take; write nothing")
    parser.add_argument("--models", nargs="+", metavar="ORG/NAME", help="these models only")
    parser.add_argument("--limit", type=cli.at_least(1), metavar="N", help="N models, spread evenly over score")
    parser.add_argument("--since", metavar="DATE", help="models uploaded on this day or later, e.g. 2024-06-01")
    parser.add_argument("--one-per-base-model", action="store_true",
                        help="of the fine-tunes and merges of one base, only the first uploaded")
    parser.add_argument("--jobs", type=cli.at_least(1), default=4, help="models read at the same time (default 4)")
    parser.add_argument("--retries", type=cli.at_least(0), default=5, help="per request (default 5)")
    parser.add_argument("--wait", type=float, default=1.0, metavar="S", help="before the first retry (default 1 s)")
    parser.add_argument("--checkpoint", type=float, default=10.0, metavar="S",
                        help="a kill loses at most this many seconds of a file (default 10)")
    parser.add_argument("--max-size", metavar="SIZE", help="how large a file of the hub may be, unpacked (default: 4G)")
    parser.add_argument("--no-parquet", action="store_true", help="always stream the JSON lines")
    parser.add_argument("--refresh", action="store_true",
                        help="read the table of models again, and models that failed at their newest revision")
    parser.add_argument("--overwrite", action="store_true", help="replace M1.csv and M2.csv made by something else")
    return parser


if __name__ == "__main__":
    cli.run(main)
