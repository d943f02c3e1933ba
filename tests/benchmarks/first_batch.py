"""Seconds from the construction of the data module to the first training batch of SST-2, with its token ids cached.

`ACL_LIGHTNING_GLUE=DIR python -m tests.benchmarks.first_batch`. Every round is a process of its own. Imports are not
counted; the rest is reading the TSV files, loading the tokenizer, hashing it and the texts, reading the token ids,
dividing the rows and building the batch. The first process fills the cache.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor

import datasets

from acl_lightning.data import GLUEDataModule
from acl_lightning.latency.stopwatch import time_range

LIMIT = 3.0


def start_up(root: str, cache: str, *, cpu_time: bool) -> float:
    """Return the seconds from the data module to the first batch."""
    warnings.simplefilter("ignore")
    datasets.disable_progress_bars()
    clock = time.process_time if cpu_time else time.perf_counter
    start = clock()
    data = GLUEDataModule("sst2", source="local", root=root, cache_dir=cache)
    data.prepare_data()
    data.setup("fit")
    next(iter(data.train_dataloader()))
    return clock() - start


def main() -> None:
    """Print the times without and with the cache."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cpu-time", action="store_true", help="processor time instead of time, on a busy machine")
    options = parser.parse_args()
    times = []
    with tempfile.TemporaryDirectory() as cache:
        for _ in range(options.rounds + 1):
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                root = os.environ["ACL_LIGHTNING_GLUE"]
                times.append(pool.submit(start_up, root, cache, cpu_time=options.cpu_time).result())
    print(f"first batch of SST-2, {'processor time' if options.cpu_time else 'time'}, load {os.getloadavg()[0]:.1f}")
    print(f"  token ids not cached {times[0]:5.2f} s")
    median, low, high = time_range(times[1:])
    print(f"  token ids cached     {median:5.2f} s ({low:.2f}-{high:.2f})   at most {LIMIT:.0f}")


if __name__ == "__main__":
    main()
