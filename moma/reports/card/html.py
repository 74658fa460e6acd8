"""HTML from Python: whatever is not marked as HTML is text and is escaped."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

_STYLE = """
:root { --ink: #1d2733; --soft: #5c6b7a; --line: #dfe5ea; --back: #f5f7f9; --blue: #2f6f9f; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink);
       font: 15px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 24px 60px; }
h1 { margin: 0; font-size: 27px; }
h2 { margin: 0 0 10px; font-size: 19px; }
p { margin: 6px 0 10px; }
.path, .fine { color: var(--soft); font-size: 13px; overflow-wrap: anywhere; }
section { background: #fff; border: 1px solid var(--line); border-radius: 10px;
          padding: 18px 22px; margin-top: 18px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px;
         margin-top: 18px; }
.tile { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 12px 16px; }
.tile b { display: block; font-size: 22px; line-height: 1.25; overflow-wrap: anywhere; }
.tile span { color: var(--soft); font-size: 13px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 14px; width: 100%; }
th, td { padding: 5px 10px; border-bottom: 1px solid var(--line); text-align: left;
         vertical-align: top; }
th { color: var(--soft); font-weight: 600; font-size: 12.5px; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
img { display: block; max-width: 100%; margin: 12px auto 0; }
details { margin-top: 10px; } summary { cursor: pointer; color: var(--blue); }
.mark { display: inline-block; padding: 0 9px; border-radius: 9px; font-size: 12.5px;
        font-weight: 600; white-space: nowrap; }
.error { background: #fbe0de; color: #9d2219; } .warning { background: #fdeecb; color: #7c5200; }
.note { background: #e3edf5; color: #2a5a80; } .several { background: #fdeecb; color: #7c5200; }
.none { background: #dff2e3; color: #1e6b34; } .unclear { background: #e9ecef; color: #4c5864; }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(name: str, *content: object, **attributes: str) -> Markup:
    """Returns an element; content that is no `Markup` is escaped, attributes always are.

    Args:
        name: of the element.
        content: text, numbers, markup.
        attributes: a trailing underscore is dropped (`class_`).
    """
    given = "".join(
        f' {key.rstrip("_")}="{html.escape(value, quote=True)}"'
        for key, value in attributes.items()
    )
    return Markup(f"<{name}{given}>{join(*content)}</{name}>")


def join(*content: object) -> Markup:
    """Returns contents one after the other, escaped where they are no `Markup`."""
    return Markup(
        "".join(c if isinstance(c, Markup) else html.escape(str(c), quote=True) for c in content)
    )


def table(head: Sequence[str], rows: Sequence[Sequence[object]], numbers: str = "") -> Markup:
    """Returns a table.

    Args:
        head: the columns' names.
        rows: their cells.
        numbers: one letter a column, `n` where it holds numbers; the rest is text.
    """
    kinds = ["number" if kind == "n" else "text" for kind in numbers.ljust(len(head))]
    top = [tag("th", name, class_=kind) for name, kind in zip(head, kinds, strict=True)]
    body = [
        tag("tr", *(tag("td", cell, class_=kind) for cell, kind in zip(row, kinds, strict=True)))
        for row in rows
    ]
    inner = tag("table", tag("thead", tag("tr", *top)), tag("tbody", *body))
    return tag("div", inner, class_="scroll")


def picture(png: bytes, text: str, width: int) -> Markup:
    """Returns a picture that is part of the page, `width` pixels wide."""
    source = "data:image/png;base64," + base64.b64encode(png).decode()
    return Markup(f'<img src="{source}" alt="{html.escape(text, quote=True)}" width="{width}">')


def page(title: str, *content: Markup) -> str:
    """Returns a whole page that loads nothing and runs nothing."""
    head = join(
        Markup('<meta charset="utf-8">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        tag("title", title),
        tag("style", Markup(_STYLE)),
    )
    body = tag("body", tag("main", *content))
    return "<!doctype html>\n" + tag("html", tag("head", head), body, lang="en") + "\n"
