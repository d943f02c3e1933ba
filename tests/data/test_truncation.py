"""Warning about truncated rows."""

import re
import warnings

import pytest

from acl_lightning.data import GLUEDataModule
from acl_lightning.data.truncation import Truncation


@pytest.fixture
def data(tmp_path):
    def build(max_length, lengths=(*range(3, 103),)):
        folder = tmp_path / "files" / "SST-2"
        if not folder.exists():
            folder.mkdir(parents=True)
            # A row of n words has n + 2 tokens.
            rows = "".join(f"{' '.join(['film'] * (n - 2))}\t{n % 2}\n" for n in lengths)
            for name in ("train.tsv", "dev.tsv"):
                (folder / name).write_text("sentence\tlabel\n" + rows)
        return GLUEDataModule(
            "sst2", root=str(tmp_path / "files"), max_length=max_length, cache_dir=str(tmp_path / "cache")
        )

    return build


@pytest.mark.parametrize("run", ["tokenised", "from the cache"])
def test_the_warning_names_the_share_and_the_recommended_length(data, run):
    """Rows of 3 to 102 tokens: 82 of 100 are longer than 20, and 95 have at most 97."""
    if run == "from the cache":
        with pytest.warns(UserWarning, match="truncated"):
            data(20).setup("fit")
    module = data(20)
    message = r"82 of 100 rows \(82\.0 %\) of the split {} are truncated to data\.max_length = 20 tokens\. "
    message += "Set data.max_length to 97 to keep 95 % of the rows whole"
    with pytest.warns(UserWarning, match="truncated") as caught:
        module.setup("fit")
    texts = [str(warning.message) for warning in caught]
    assert len(texts) == 2
    for split, text in zip(("train", "validation"), texts, strict=True):
        assert re.match(message.format(split), text)
    assert module.truncation["train"] == Truncation(max_length=20, rows=100, truncated=82, length_95=97)
    assert module.truncation["train"].share == 0.82
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module.setup("fit")  # once per split


def test_few_long_rows_give_no_recommendation(data):
    with pytest.warns(UserWarning, match=r"2 of 100 rows \(2\.0 %\) .*= 100 tokens; 95 % of the rows have at most 97"):
        data(100).rows("train")


def test_no_warning_without_truncated_rows(data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module = data(102)
        module.setup("fit")
    assert module.truncation["train"].truncated == 0


def test_no_length_beyond_that_of_the_tokenizer_is_recommended():
    with pytest.warns(
        UserWarning, match=r"\(100\.0 %\).* 95 % of the rows have at most 900 tokens; the tokenizer allows 512"
    ):
        Truncation.measure([900] * 3, 128).warn("test", 512)
    with pytest.warns(UserWarning, match=r"1 of 5000 rows \(less than 0\.1 %\)"):
        Truncation.measure([9] * 4999 + [200], 128).warn("test", 512)
    empty = Truncation.measure([], 128)
    assert (empty.share, empty.length_95) == (0.0, 0)
