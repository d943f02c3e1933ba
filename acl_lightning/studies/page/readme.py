"""README of a study as HTML: its question, and the rest, with images inside the text."""

from __future__ import annotations

import base64
import mimetypes
import re
from collections.abc import Sequence
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

#: Schemes of links that work on another machine.
REMOTE = ("http://", "https://", "mailto:")

#: Headings of a README -> headings of the page, whose sections are on the second level.
LOWER = {f"h{level}": f"h{min(level + 1, 6)}" for level in range(1, 7)}


def read_readme(folder: Path) -> tuple[str, str, str]:
    """Return the title of a README, the HTML of its text up to the second heading, and the HTML of the rest.

    All are empty where there is no README. Links to files beside it become plain text, since the page is read
    elsewhere; images beside it are included, other images become their description. HTML in it is shown as text.

    Args:
        folder: Folder of the study.
    """
    path = folder / "README.md"
    if not path.is_file():
        return "", "", ""
    text = path.read_text(encoding="utf-8", errors="replace")
    heading = re.match(r"\s*# (.+)\n", text)
    title = heading[1].strip() if heading else ""
    body = text[heading.end() :] if heading else text
    question, mark, rest = body.partition("\n## ")
    return title, markdown_html(question, folder), markdown_html(f"## {rest}" if mark else "", folder)


def markdown_html(text: str, folder: Path) -> str:
    """Return Markdown as HTML that needs no other file.

    Args:
        text: Markdown text, whose HTML is not trusted.
        folder: Folder that relative paths refer to.
    """
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(text)
    for token in tokens:
        if token.tag in LOWER and token.type.startswith("heading"):
            token.tag = LOWER[token.tag]
        if token.children:
            token.children = _self_contained(token.children, folder)
    return str(markdown.renderer.render(tokens, markdown.options, {}))


def data_uri(content: bytes, kind: str = "image/png") -> str:
    """Return an address that contains the content itself."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _self_contained(tokens: Sequence[Token], folder: Path) -> list[Token]:
    result: list[Token] = []
    dropped = 0  # links within links do not exist, so that a count of open links is enough
    for token in tokens:
        if token.type == "link_open" and not str(token.attrGet("href")).startswith(REMOTE):
            dropped += 1
        elif token.type == "link_close" and dropped:
            dropped -= 1
        elif token.type == "image":
            result.append(_image(token, folder))
        else:
            result.append(token)
    return result


def _image(token: Token, folder: Path) -> Token:
    """Return an image with its content, or its description where it is not a file in the folder."""
    path = (folder / str(token.attrGet("src"))).resolve()
    kind = mimetypes.guess_type(path.name)[0] or ""
    if path.is_relative_to(folder.resolve()) and path.is_file() and kind.startswith("image/"):
        token.attrSet("src", data_uri(path.read_bytes(), kind))
        return token
    return Token("text", "", 0, content=token.content)
