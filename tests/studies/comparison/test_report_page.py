"""`study report`: one page that needs no other file."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from unittest import mock

import pytest
from PIL import Image
from study_folders import finish, write_measurements, write_study

from acl_lightning.cli import main
from acl_lightning.studies.page.readme import markdown_html, read_readme
from acl_lightning.studies.page.sections import _portions

README = """# Does ACL help?

The paper says **yes**; see [the sweep](sweep.yaml), [the paper](https://arxiv.org/abs/2602.03563)
and <script>x()</script>.

![a figure](figure.png) ![a secret](../secret.png)

## Cost

| CPU | GPU |
|---|---|
| 1 h | 1 min |
"""

PIXEL = bytes.fromhex("89504e470d0a1a0a")


class Page(HTMLParser):
    """Elements of a page, and whether all of them are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.starts = [], []
        self.feed(text)
        assert self.open == []

    def handle_startendtag(self, tag, attrs):
        self.starts.append((tag, dict(attrs)))

    def handle_starttag(self, tag, attrs):
        self.starts.append((tag, dict(attrs)))
        if tag not in {"meta", "img", "br", "hr"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def values(self, tag, attribute):
        return [attributes.get(attribute) for name, attributes in self.starts if name == tag]


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    root = tmp_path_factory.mktemp("report")
    parameters = {"config": ["objective/ce.yaml", "objective/acl.yaml"], "seed_everything": [1, 2, 3]}
    specification = {
        "measures": ["last_exit", "exits", "probe_conflict_rate_acl"],
        "baseline": "CE",
        "resamples": 100,
        "curve_criteria": ["confidence", "prototype_margin"],
        "curve_speeds": ["flops_speedup"],
    }
    sweep = write_study(root / "help", parameters, specification)
    (root / "help/README.md").write_text(README)
    (root / "help/figure.png").write_bytes(PIXEL)
    (root / "secret.png").write_bytes(PIXEL)
    trials = sweep.trials(root / "trials")
    finish(trials, skip={1})
    write_measurements(trials[0].directory, 0)
    with mock.patch("acl_lightning.figures.projection.has_tsne", return_value=False):  # its import takes seconds
        assert main(["study", "report", str(root / "help/sweep.yaml"), "--trials", str(root / "trials")]) == 0
    assert (root / "help/results/table.md").exists()
    return (root / "help/results/report.html").read_text()


def test_the_page_needs_no_other_file_and_no_script(text):
    page = Page(text)
    assert "script" not in [tag for tag, _ in page.starts]
    assert "link" not in [tag for tag, _ in page.starts]
    sources = page.values("img", "src")
    assert len(sources) == 5  # the README's figure, curves, criteria, angles, embeddings
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert all(page.values("img", "alt"))
    assert "url(" not in text
    assert "viewport" in page.values("meta", "name")
    assert "@media print" in text


def test_figures_have_few_colours(text):
    """So that a page with many figures remains small: a byte per pixel before compression instead of four."""
    _, *figures = Page(text).values("img", "src")
    for source in figures:
        with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
            assert image.mode == "P"


def test_the_page_has_question_tables_figures_provenance_and_commands(text):
    page = Page(text)
    assert text.count("<h1>") == 1
    assert "<h1>Does ACL help?</h1>" in text
    anchors = {value.removeprefix("#") for value in page.values("a", "href") if value.startswith("#")}
    assert anchors == set(page.values("section", "id"))
    headings = re.findall(r"<h2>(.*?)</h2>", text)
    assert headings == [
        *("Last exit", "Every exit", "Probe conflict rate acl"),
        *("Speed-quality curves", "Exit criteria", "Angles between gradients", "Embeddings"),
        *("Protocol", "Limits", "From the README of the study", "Provenance", "Commands"),
    ]
    assert "<h3>Cost</h3>" in text
    assert "<strong>" in text
    assert "ACL: seed 2 without a partner" in text
    assert "study run" in text
    assert "config.yaml --run_dir=null" in text
    assert "Holm correction for 4 comparisons" in text
    assert "waiting" in text
    assert "Quality over FLOPs speed-up (exit heads included) of CE; ACL" in text
    assert "No curves of prototype_margin: expected" in text


def test_figures_of_many_methods_have_the_first_in_common():
    names = [str(number) for number in range(16)]
    portions = _portions(names)
    assert [len(portion) for portion in portions] == [8, 8, 2]
    assert {portion[0] for portion in portions} == {"0"}
    assert [name for portion in portions for name in portion[1:]] == names[1:]
    assert _portions(["CE"]) == [["CE"]]


def test_the_readme_is_not_trusted(tmp_path):
    (tmp_path / "study").mkdir()
    (tmp_path / "study/README.md").write_text(README)
    (tmp_path / "study/figure.png").write_bytes(PIXEL)
    (tmp_path / "secret.png").write_bytes(PIXEL)
    title, question, rest = read_readme(tmp_path / "study")
    assert title == "Does ACL help?"
    assert "&lt;script&gt;" in question
    assert 'href="https://arxiv.org/abs/2602.03563"' in question
    assert "sweep.yaml" not in question
    assert "the sweep" in question
    assert question.count("<img") == 1
    assert "a secret" in question
    assert "<table>" in rest
    assert "href" not in markdown_html("[x](javascript:alert(1))", tmp_path)


def test_a_study_without_a_readme_has_no_question(tmp_path):
    assert read_readme(tmp_path) == ("", "", "")
