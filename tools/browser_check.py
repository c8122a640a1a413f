"""Opens pages of `model.explain` in headless Chromium and compares them with the text.

For several nets: every example of the page shows the lines of ``print(model.explain(...))``, a
number under the pointer or the arrow keys shows its full value, its equation and its sources,
freezing marks exactly the numbers that differ, names are text whatever they hold, nothing is wider
than the window, no error is logged and no request leaves.

``python tools/browser_check.py [FOLDER]`` needs the package playwright and Chromium on the path
(``pip install playwright``, and Debian's ``chromium``). It prints one line for each net, writes
screenshots to FOLDER, and exits with 1 if anything is wrong.
"""

import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.training.explanation import Explanation, Names, explain_step

HOSTILE = '"><img src=x onerror=alert(1)>'
WIDTHS = (360, 400, 768, 1440)
ROWS = 6

random = np.random.default_rng(0)
L = cr.layers
#: An explanation of a row.
Made = Callable[[int], Explanation]


def _of(layers: list[cr.Layer], *shape: int, steps: int = 0, language: str = "en") -> Made:
    """Explanations of a net for classes, after some steps of training."""
    model = cr.Sequential([*layers, L.Dense(3, "softmax")])
    x, y = random.normal(size=(ROWS, *shape)).astype("float32"), np.arange(ROWS) % 3
    if steps:
        model.fit(x, y, loss="cross_entropy", optimizer="adam", epochs=steps, batch_size=None,
                  verbose=0)  # fmt: skip
    loss = None if steps else "cross_entropy"
    return lambda row: model.explain(x, y, row=row, loss=loss, language=language)


def _hostile() -> Made:
    model = cr.Sequential([L.Dense(4, "relu", name="<b onclick=alert(1)>"), L.Dense(1, name="<i>")])
    x, y = random.normal(size=(ROWS, 2)), random.normal(size=(ROWS, 1))
    names = Names([f"{i}{HOSTILE}" for i in range(ROWS)], [HOSTILE, "</script><b>"], [HOSTILE])
    return lambda row: explain_step(model, x, y, row, "mse", "sgd", "en", names)


NETS: dict[str, Callable[[], Made]] = {
    "dense, no step": lambda: _of([L.Dense(4, "tanh")], 3),
    "dense, 1 step": lambda: _of([L.Dense(4, "tanh")], 3, steps=1),
    "dense, 50 steps": lambda: _of([L.Dense(4, "tanh")], 3, steps=50),
    "deep, Chinese": lambda: _of([L.Dense(40, "relu"), L.Dropout(0.2), L.LayerNormalization(),
                                  L.Dense(20, "gelu")], 20, language="zh"),
    "convolution": lambda: _of([L.Conv2D(3, 3, activation="relu"), L.MaxPooling2D(2),
                                L.Flatten()], 8, 8, 1),
    "gru": lambda: _of([L.GRU(4, return_sequences=True), L.GRU(3)], 6, 2, steps=3),
    "hostile names": _hostile,
}  # fmt: skip


def _plain(text: str) -> str:
    return " ".join(text.split())


def _of_text(explanation: Explanation) -> str:
    return _plain(re.sub(r"(?m)^-+$", "", str(explanation)))


def _texts(page: Any, made: Made) -> Iterator[str]:
    """Every example of the page against the text, by the keys of the slider."""
    page.focus("input")
    page.keyboard.press("Home")
    for row in range(ROWS):
        if _plain(page.inner_text("article:not([hidden])")) != _of_text(made(row)):
            yield f"example {row} differs from the text"
        read = "all => all.map(x => [x.value, x.title, x.textContent])"
        for value, title, shown in page.eval_on_selector_all("article:not([hidden]) data", read):
            single = float(np.float32(value))
            if shown not in (value, f"{float(value):.4g}", f"{single:.4g}"):
                yield f"example {row}: {shown} is shown for {value}"
            if title != value:
                yield f"example {row}: the title of {shown} is not its value"
        page.keyboard.press("ArrowRight")


def _sources(page: Any) -> Iterator[str]:
    """A number under the pointer, and under the arrow keys."""
    for number in page.query_selector_all("article:not([hidden]) data[data-from]")[::5]:
        number.hover()
        told = page.inner_text("footer")
        if not told.startswith(number.get_attribute("value")):
            yield f"the footer says {told!r}"
        if not page.query_selector_all("data.source"):
            yield f"no source of {number.get_attribute('data-name')} is lit up"
    page.keyboard.press("Escape")
    if page.query_selector_all("data.source, data.chosen"):
        yield "Escape does not end it"
    page.focus("article:not([hidden]) section:nth-of-type(3)")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    chosen = page.query_selector_all("section:focus data.chosen")
    if len(chosen) != 1 or chosen[0].get_attribute("value") not in page.inner_text("footer"):
        yield "the arrow keys do not reach a number"


def _freezing(page: Any) -> Iterator[str]:
    """What is marked after freezing one example and going to the next."""
    values = "Object.fromEntries([...document.querySelectorAll('article:not([hidden]) data"
    read = f"() => {values}[data-name]')].map(x => [x.dataset.name, [x.value, x.dataset.was]]))"
    before = page.evaluate(read)
    page.focus("button")
    page.keyboard.press("Enter")
    page.focus("input")
    page.keyboard.press("ArrowLeft")
    for name, (value, was) in page.evaluate(read).items():
        differs = name in before and before[name][0] != value
        if differs != (was is not None):
            yield f"{name} is {value}, was {before.get(name)}, and is marked {was}"
        elif differs and (was[0] == "\u25b2") != (float(value) > float(before[name][0])):
            yield f"{name} is marked the wrong way"
    page.click("button")
    if page.query_selector_all("data[data-was]"):
        yield "marks stay after the comparison"


def _sizes(page: Any, folder: Path, name: str) -> Iterator[str]:
    """Nothing is wider than the window; pictures to look at."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        if page.evaluate("document.scrollingElement.scrollWidth > innerWidth"):
            yield f"wider than {width} pixels"
        if width in (400, 1440):
            page.screenshot(path=folder / f"{name}-{width}.png")
    page.hover("article:not([hidden]) section:nth-of-type(3) data[data-from]")
    page.emulate_media(color_scheme="dark")
    page.screenshot(path=folder / f"{name}-dark.png")


def check(context: Any, name: str, made: Made, folder: Path) -> list[str]:
    """What is wrong with the page of a net."""
    path = folder / f"{name}.html"
    made(0).to_html(path)
    page, wrong = context.new_page(), []
    page.on("console", lambda message: wrong.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    wrong += [*_texts(page, made), *_sources(page), *_freezing(page), *_sizes(page, folder, name)]
    if page.query_selector_all("img, b, i, script:not(body > script)"):
        wrong.append("a name has become an element")
    if requests != [path.as_uri()]:
        wrong.append(f"requests: {requests}")
    page.close()
    return wrong


def main() -> int:
    """Check all nets."""
    from playwright.sync_api import sync_playwright

    given = sys.argv[1:]
    folder = Path(given[0] if given else tempfile.mkdtemp()).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    failed = 0
    with sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=shutil.which("chromium"))
        context = browser.new_context(offline=True)
        for name, net in NETS.items():
            wrong = check(context, name.replace(", ", "-").replace(" ", "-"), net(), folder)
            print(f"{name}: {'right' if not wrong else ''}")
            print("".join(f"  {sentence}\n" for sentence in wrong[:10]), end="")
            failed += bool(wrong)
        browser.close()
    print(f"pages and pictures: {folder}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
