"""An explanation as one HTML page that needs nothing else."""

import html
from collections.abc import Mapping, Sequence

_STYLE = """
:root { color-scheme: light dark; --line: #8885; --shade: #8881; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 78rem; }
body { padding: 0 1rem; }
h1 { font-size: 1.3rem; } h2 { font-size: 1rem; margin: 0 0 .5rem; }
main { display: grid; gap: 1rem; }
main { grid-template-columns: repeat(auto-fit, minmax(min(34rem, 100%), 1fr)); }
section { border: 1px solid var(--line); border-radius: .5rem; padding: .8rem; }
section { background: var(--shade); }
pre { font: 12.5px/1.5 ui-monospace, monospace; margin: 0; white-space: pre-wrap; }
section:focus-visible { outline: 3px solid Highlight; }
"""


def page(blocks: Mapping[str, Sequence[str]], zoom: Sequence[str], words: dict[str, str]) -> str:
    """The page. All text is escaped: names of layers are text whatever they hold."""
    parts = {"": zoom} if zoom else blocks
    sections = "\n".join(
        f'<section tabindex="0"><h2>{html.escape(title)}</h2>'
        f"<pre>{html.escape(chr(10).join(lines))}</pre></section>"
        for title, lines in parts.items()
    )
    title = html.escape(words["title"])
    return (
        '<!doctype html>\n<html><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{title}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>{title}</h1>\n<main>\n{sections}\n</main></body></html>\n"
    )
