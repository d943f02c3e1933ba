"""Slow reader of CSV text, written from RFC 4180 as a state machine over characters."""

from __future__ import annotations


def read_csv(text: str, delimiter: str = ",") -> list[tuple[int, list[str]]] | None:
    """First line and fields of every row that is not blank; None where the text has no unambiguous reading."""
    rows: list[tuple[int, list[str]]] = []
    line = 1
    position = 0
    while position < len(text):
        first, fields, field, blank = line, [], "", True
        while True:  # a field per turn
            if position < len(text) and text[position] == '"':
                blank = False
                position += 1
                while True:
                    if position == len(text):
                        return None  # never closed
                    character = text[position]
                    position += 1
                    if character != '"':
                        line += character == "\n"
                        field += character
                    elif position < len(text) and text[position] == '"':
                        field += '"'
                        position += 1
                    else:
                        break
                if position < len(text) and text[position] not in (delimiter, "\r", "\n"):
                    return None  # text after a closing quotation mark
            else:
                while position < len(text) and text[position] not in (delimiter, "\r", "\n"):
                    field += text[position]
                    position += 1
                    blank = False
            fields.append(field)
            field = ""
            if position < len(text) and text[position] == delimiter:
                position += 1
                blank = False
                continue
            while position < len(text) and text[position] == "\r":
                position += 1
                if position < len(text) and text[position] not in "\r\n":
                    return None  # a carriage return inside a line
            line += 1
            position += 1
            break
        if not blank:
            rows.append((first, fields))
    return rows
