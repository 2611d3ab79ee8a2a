#!/usr/bin/env python3
"""pictures.py: the README's pictures of the real thing, docs/pictures/*.png.

    tools/pictures.py TOOL [STORE]    with /usr/bin/python3, python3-selenium, chromium and chromium-driver

The model is the tool's default one. STORE is used as it is; without one, a store of block 8 is made first, which takes
some minutes.
"""
import html
import os
import re
import subprocess
import sys
import tempfile
import urllib.parse
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "docs" / "pictures"
LIMIT = 200_000
FEATURE = "block 8 [:, :, 5]"

sys.path.insert(0, str(ROOT / "tests"))
from chromium import Browser, missing  # noqa: E402


def fill(tool, store):
    """What the pictures show."""
    for words in (["scan", "block 8 [:, :, 0-575]"], ["dream", "block 8 [:, :, 0-47]", "--method", "descent"],
                  ["dream", "block 8 [:, :, 0-5]"]):
        subprocess.run([tool, *words, "--store", store], check=True, stdout=subprocess.DEVNULL)


# ---- the page ----

def page_pictures(browser, tool, store):
    server = subprocess.Popen([tool, "serve", "--port", "0", "--store", store], stdout=subprocess.PIPE, text=True)
    try:
        base = server.stdout.readline().strip().rstrip("/")
        browser.open(base + "/")
        key = browser.js("return document.querySelector('.card').getAttribute('href')")
        heat_map(browser, base + key)
        feature(browser, base + key)
    finally:
        server.terminate()
        server.wait()


def heat_map(browser, model):
    from selenium.webdriver.common.keys import Keys
    browser.look(1000, 846)
    browser.open(f"{model}/block/8?by=token_activation")
    browser.js("document.querySelector('.heat canvas').focus({preventScroll: true})")
    browser.press(Keys.HOME, *[Keys.ARROW_RIGHT] * 5)
    browser.wait("document.querySelector('.readout a')?.textContent === arguments[0]", FEATURE)
    browser.js("document.activeElement.blur(); scrollTo(0, 0)")
    browser.picture(OUT / "heat-map.png")


def feature(browser, model):
    browser.look(1000, 1000, dark=True)
    text = urllib.parse.quote("The numerator and the denominator of a fraction")
    browser.open(f"{model}/feature/{urllib.parse.quote(FEATURE, safe='')}?text={text}")
    browser.wait("document.querySelector('.box .score')", seconds=120)
    browser.wait("document.querySelector('.plot')")
    browser.look(1000, int(browser.js("return document.querySelector('.distribution').getBoundingClientRect().bottom + scrollY")) + 12, dark=True)
    browser.picture(OUT / "feature.png")
    browser.look()


# ---- the terminal ----

def terminal_text(tool, words):
    """What a command prints on a terminal that has all colours."""
    shown = " ".join(w if re.fullmatch(r"[\w./:-]+", w) else f"'{w}'" for w in words)
    command = " ".join(f"'{w}'" for w in [tool, *words, "--no-store"] if w)
    env = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    out = subprocess.run(["script", "-qec", f"stty cols 130; {command} 2>/dev/null", "/dev/null"], env=env, capture_output=True, text=True).stdout
    return f"$ phosphene {shown}\n" + out.replace("\r", "")


def coloured(text):
    """HTML of 24-bit backgrounds, the only escapes that we print."""
    out, at, inside = "", 0, False
    for m in re.finditer(r"\033\[([\d;]*)m", text):
        out += html.escape(text[at:m.start()])
        at = m.end()
        codes = m.group(1).split(";")
        if codes[:2] == ["48", "2"]:
            out += f'<span style="background:rgb({",".join(codes[2:5])});color:#000">'
            inside = True
        elif codes == ["0"] and inside:
            out += "</span>"
            inside = False
    return out + html.escape(text[at:])


def terminal_picture(browser, tool):
    text = terminal_text(tool, ["score", FEATURE, "The numerator and the denominator of a fraction"]) + "\n" + \
        terminal_text(tool, ["dream", "-v", "--method", "descent", FEATURE])
    with tempfile.NamedTemporaryFile("w", suffix=".html", delete=False) as f:
        f.write(f'<meta charset="utf-8"><body style="margin:0;background:#16171a"><pre style="display:inline-block;margin:0;padding:18px;'
                f'color:#e9e8e4;font:13px/1.35 DejaVu Sans Mono">{coloured(text)}</pre>')
    browser.look(1400, 900)
    browser.driver.get("file://" + f.name)
    browser.picture(OUT / "terminal.png", "pre")
    os.unlink(f.name)


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    if missing():
        sys.exit(f"pictures.py: {missing()}")
    tool = os.path.abspath(sys.argv[1])
    store = sys.argv[2] if len(sys.argv) == 3 else os.path.join(tempfile.mkdtemp(), "pictures.sqlite")
    if not os.path.exists(store):
        fill(tool, store)
    OUT.mkdir(exist_ok=True)
    browser = Browser()
    try:
        page_pictures(browser, tool, store)
        terminal_picture(browser, tool)
    finally:
        browser.end()
    for path in sorted(OUT.glob("*.png")):
        size = path.stat().st_size
        print(f"{path.relative_to(ROOT)}  {size:,} bytes" + ("  TOO LARGE" if size > LIMIT else ""))


if __name__ == "__main__":
    main()
