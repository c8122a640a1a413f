"""An explanation as one HTML page that needs nothing else."""

import base64
import hashlib
import html
from collections.abc import Sequence
from importlib.resources import files

from chainrule.training.explanation.pieces import Line, Number, Piece
from chainrule.training.explanation.report import Blocks

_FRAME_HEIGHT = 640


def page(
    steps: Sequence[tuple[str, Blocks]], first: int, words: dict[str, str], language: str
) -> str:
    """The page. All text is escaped: names of layers and columns are text whatever they hold.

    Args:
        steps: the name and the blocks of each example.
        first: the number of the one that is shown first.
        words: the sentences.
        language: that of the sentences.
    """
    style, script = (_file(name) for name in ("page.css", "page.js"))
    # Nothing is loaded, and nothing runs but the one script.
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    articles = "\n".join(
        f'<article data-title="{html.escape(name)}"{"" if i == first else " hidden"}>\n'
        f"{_blocks(blocks)}</article>"
        for i, (name, blocks) in enumerate(steps)
    )
    title = html.escape(words["title"])
    return (
        f'<!doctype html>\n<html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>{title}</title><style>{style}</style></head>\n<body>\n"
        f"<header><h1>{title}</h1>\n{_tools(len(steps), first, words)}</header>\n"
        f"<main>\n{articles}\n</main>\n"
        f'<footer role="status">{html.escape(words["hint"])}</footer>\n'
        f"<script>{script}</script></body></html>\n"
    )


def frame(text: str, words: dict[str, str]) -> str:
    """A page inside another, as a notebook shows it: neither touches the other."""
    return (
        f'<iframe title="{html.escape(words["title"])}" sandbox="allow-scripts" width="100%" '
        f'height="{_FRAME_HEIGHT}" frameborder="0" srcdoc="{html.escape(text)}"></iframe>'
    )


def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    """How a content security policy names a text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _tools(count: int, first: int, words: dict[str, str]) -> str:
    said = {key: html.escape(words[key]) for key in ("choose", "freeze", "release", "compared")}
    return (
        f'<div class="tools"{" hidden" if count < 2 else ""}><label>{said["choose"]} '
        f'<input type="range" min="0" max="{count - 1}" value="{first}"><output></output></label>'
        f'<button type="button" aria-pressed="false" data-start="{said["freeze"]}" '
        f'data-stop="{said["release"]}" data-compared="{said["compared"]}">{said["freeze"]}'
        '</button><span id="compared"></span></div>\n'
    )


def _blocks(blocks: Blocks) -> str:
    return "".join(
        f'<section tabindex="0" aria-label="{html.escape(title)}"><h2>{html.escape(title)}</h2>\n'
        + "\n".join(map(_line, lines))
        + "\n</section>\n"
        for title, lines in blocks.items()
    )


def _line(line: Line) -> str:
    kind = "in" if line.head.startswith(" ") else "top"
    body = "".join(map(_piece, line.body))
    return f'<p class="{kind}"><span>{html.escape(line.head.strip())}</span> {body}</p>'


def _piece(piece: Piece) -> str:
    if not isinstance(piece, Number):
        text = html.escape(piece)
        return f"{text[:-1]}&nbsp;" if text.endswith("] ") else text  # a place and its number
    full = html.escape(piece.full)
    parts = {"name": piece.name, "from": " ".join(piece.sources), "rule": piece.rule}
    data = "".join(f' data-{k}="{html.escape(v)}"' for k, v in parts.items() if v)
    below = ' class="below"' if piece.full.startswith("-") else ""
    return f'<data value="{full}" title="{full}"{data}{below}>{piece}</data>'
