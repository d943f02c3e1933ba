"""Every command and every Python example of the README and the documentation runs, and every file they name exists."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
}


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a page in a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands() -> list[list[str]]:
    """The arguments of every command in a console block, each once."""
    lines = [line for text in PAGES.values() for block in blocks(text, "console") for line in block.splitlines()]
    lines += re.findall(r"^srun (python -m acl_lightning .*)$", "\n".join(PAGES.values()), re.MULTILINE)
    lines = [line[line.index("python -m") :] for line in lines if "-m acl_lightning " in line]
    parsed = [shlex.split(line, comments=True) for line in lines]
    return list(map(list, dict.fromkeys(tuple(words[3:]) for words in parsed)))


COMMANDS = commands()
EXAMPLES = [(page, code) for page, text in PAGES.items() for code in blocks(text, "python")]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_every_command_is_understood(arguments, tmp_path, monkeypatch, capsys):
    """Parsed and resolved, with RUN being a directory with the configuration of the quickstart, or of a table."""
    from acl_lightning.cli import commands, main

    run = tmp_path / "run"
    run.mkdir()
    kind = "fit/table" if any(argument.startswith("--data.predict=") for argument in arguments) else "quickstart"
    (run / "config.yaml").write_text((ROOT / f"conf/{kind}.yaml").read_text())
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["acl_lightning"])
    resolved = [argument.replace("RUN", str(run)).replace("OUT", str(tmp_path)) for argument in arguments]
    own = resolved[0] in commands.COMMANDS
    name = resolved[: 2 if resolved[0] == "study" else 1]
    with pytest.raises(SystemExit) as stop:
        main([*name, "--help"] if own else [*resolved, "--print_config"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert "run_dir:" in shown or own
    assert not own or all(argument.partition("=")[0] in shown for argument in resolved if argument.startswith("--"))


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?:`|\$ )make ([a-z-]+)", "\n".join(PAGES.values())))))
def test_every_make_target_exists(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize(("page", "code"), EXAMPLES, ids=[f"{page}-{n}" for n, (page, _) in enumerate(EXAMPLES)])
@pytest.mark.usefixtures("registries")
def test_every_python_example_runs(page, code, tmp_path, request, monkeypatch, capsys):
    if '"OUT"' in code:
        request.getfixturevalue("example_run")
        from acl_lightning.export import export_run

        export_run("runs/example", "OUT")
    torch.manual_seed(0)
    exec(code, {"__name__": "example"})
    if page == "README.md":
        assert capsys.readouterr().out.strip() in {"True", "False"}


@pytest.mark.parametrize("page", PAGES)
def test_every_path_that_a_page_names_exists(page):
    directory = (ROOT / page).parent
    for path in re.findall(r"\]\((?!http|#)([^)#]+)\)", PAGES[page]):
        assert (directory / path).exists(), path
    for path in re.findall(r"`((?:conf|tests|experiments|examples|acl_lightning|docs)/[\w/.]+?\.\w+)`", PAGES[page]):
        assert (ROOT / path).exists() or "NAME" in path or "DEVICE" in path, path
    for path in re.findall(r"`((?:objective|gradient|callbacks|logger|fit|model|exits)/\w+\.yaml)`", PAGES[page]):
        assert (ROOT / "conf" / path).is_file(), path


def test_the_table_of_concepts_names_existing_files():
    rows = [row for row in PAGES["docs/method.md"].splitlines() if row.startswith("| ") and ".py`" in row]
    assert len(rows) > 15
    for row in rows:
        folder = ""
        for name in re.findall(r"`([\w/]+\.py)`", row):
            folder = name.rpartition("/")[0] or folder
            path = ROOT / "acl_lightning" / (name if "/" in name else f"{folder}/{name}")
            assert path.is_file(), path


def test_every_page_is_in_the_site():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for path in (ROOT / "docs").rglob("*.md"):
        assert path.relative_to(ROOT / "docs").as_posix() in navigation


@pytest.mark.slow
def test_the_site_is_built_without_warnings(tmp_path):
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    page = (tmp_path / "site/api/objectives.html").read_text(encoding="utf-8")
    assert "fonts.googleapis" not in page
    assert "<math" in page
    assert ".. math" not in page


def test_the_readme_is_short_and_its_commands_are_tested():
    assert len(README.splitlines()) <= 140
    assert len(COMMANDS) >= 20
