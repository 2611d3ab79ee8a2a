"""The page and the report in a real Chromium, over a store made from the default model.

    browser.py TOOL      $PHOSPHENE_MODEL, else the default model where it is, else a tiny one

Every page, on a wide window, in the dark and on a phone; nothing in the console; searches that are started,
watched over a reload, cancelled and kept; a vocabulary that attacks the page; the report from disk.
Exit status 77: no browser here.
"""

import json
import os
import re
import sys
import urllib.parse

from cli import TINY, WORK, check, run, run_tests
from chromium import Browser, missing
from serve_client import HOSTILE, Server, hostile_model

DEFAULT = os.path.expanduser("~/.local/share/phosphene/SmolLM2-135M-Instruct.Q4_1.gguf")
MODEL = os.environ.get("PHOSPHENE_MODEL") or (DEFAULT if os.path.exists(DEFAULT) else TINY)
STORE = os.path.join(WORK, "browser.sqlite")
BLOCK = 2
FEATURE = f"block {BLOCK} [:, :, 1]"
browser = server = key = None


def spec(region):
    return f"block {BLOCK} [:, :, {region}]"


def path_of(feature, model=None):
    return f"/model/{urllib.parse.quote(model or key)}/feature/{urllib.parse.quote(feature, safe='')}"


def visit(path):
    return browser.open(server.url.rstrip("/") + path)


def quiet(where):
    said = browser.console()
    check(not said, f"{where}: the console says {said}")


def fill(*args, model=MODEL):
    """What a command finds goes to the store."""
    code, _, err = run(*args, "--store", STORE, "-q", model=model)
    check(code == 0, f"{args}: exit {code}: {err}")


def make_store():
    fill("scan", spec("0-59"))
    fill("dream", spec("0-3"), "--method", "descent", "--steps", "12", "--restarts", "2")
    fill("dream", spec("1-2"), "--budget", "2000", "--top", "2")
    fill("scan", spec("0-3"), model=f"untrained:{MODEL}")


# ---- looking ----

def test_models():
    global key
    visit("/")
    cards = browser.all(".card b")
    check(len(cards) == 2 and any("untrained" in c for c in cards), f"two models: {cards}")
    key = next(m["model"] for m in server.get("/api/models")[1]["models"] if not m["untrained"])
    browser.click(f".card[href$='{key}']")
    browser.wait("document.querySelector('table.blocks')")
    check(browser.all("table.blocks td a") == [f"block {BLOCK}"], f"places: {browser.all('table.blocks td a')}")
    check(browser.js("return location.pathname") == f"/model/{key}", "the address of a model")
    quiet("models")


def test_heat_map():
    from selenium.webdriver.common.keys import Keys
    visit(f"/model/{key}")
    browser.click("table.blocks td a")
    browser.wait("document.querySelector('.heat canvas')")
    check(browser.js("return location.pathname") == f"/model/{key}/block/{BLOCK}", "the address of a block")
    marks = browser.all(".marks span")
    check(len(marks) == 5 and all(re.fullmatch(r"[≤≥]? ?−?\d+(\.\d+)?", m) for m in marks), f"a legend in numbers: {marks}")
    browser.js("document.querySelector('.heat canvas').focus()")
    browser.press(Keys.HOME, Keys.ARROW_RIGHT)
    browser.wait("document.querySelector('.readout a')?.textContent === arguments[0]", FEATURE)
    figures = browser.js("return document.querySelector('.readout').textContent")
    check("activation" in figures and "gap" in figures and "null" not in figures, f"its figures: {figures}")
    for measure in browser.all(".choice button"):
        browser.js("[...document.querySelectorAll('.choice button')].find((b) => b.textContent === arguments[0]).click()", measure)
        check(browser.all(".choice [aria-pressed=true]") == [measure], f"{measure} is chosen")
        check(painted_squares() >= 4, f"{measure}: squares are painted")
    chosen = browser.js("return new URLSearchParams(location.search).get('by')")
    browser.js("location.reload()")
    browser.settled()
    check(browser.js("return new URLSearchParams(location.search).get('by')") == chosen, "a measure is part of the address")
    browser.js("document.querySelector('.heat canvas').focus()")
    browser.press(Keys.HOME, Keys.ARROW_RIGHT, Keys.ENTER)
    browser.wait("document.querySelector('h1')?.textContent === arguments[0]", FEATURE)
    quiet("heat map")


def painted_squares():
    """Distinct colours along the first row."""
    return browser.js("""const c = document.querySelector('.heat canvas'), copy = document.createElement('canvas');
        copy.width = c.width;
        copy.height = c.height;
        const g = copy.getContext('2d', {willReadFrequently: true});
        g.drawImage(c, 0, 0);
        const row = g.getImageData(0, 12 * devicePixelRatio, c.width, 1).data, seen = new Set();
        for (let i = 44 * 4 * devicePixelRatio; i < row.length; i += 4) seen.add(row.slice(i, i + 4).join());
        return seen.size""")


def test_feature():
    visit(path_of(FEATURE))
    titles = browser.all("h2")
    for title in ("Texts it answers to", "A text of your own", "Every token of the vocabulary, alone", "The descent",
                  "The best text at every block", "Neighbours of the found embedding", "Runs"):
        check(title in titles, f"{title!r} is not among {titles}")
    lines = [r for r in server.get("/api/feature", model=key, feature=FEATURE)[1]["results"] if r["round_trip"]]
    best = max(lines, key=lambda r: r["activation"]["text"])
    first = browser.js("return document.querySelector('.answers .answer-text').textContent")
    check(first.replace("×", "")[:3] == best["text"][:3] or "\\u" in first, f"the best text first: {first!r}, {best['text']!r}")
    check(browser.all(".answers .score")[0].replace("−", "-").startswith(f"{best['activation']['text']:.2f}"[:4]),
          "its activation beside it")
    check(browser.js("return document.querySelectorAll('.plot .rug').length") == 20, "ten best and ten worst tokens as ticks")
    check(browser.js("return document.querySelectorAll('.plot .answer').length") >= 2, "answers on the distribution")
    browser.wait("document.querySelector('.curves canvas')")
    browser.js("document.querySelector('.lazy').scrollIntoView()")
    browser.wait("document.querySelector('.lazy canvas')")
    check(browser.all("table.tokens th").count("activation") == 2, "two lists of tokens")
    quiet("feature")


def test_box():
    visit(path_of(FEATURE))
    browser.find(".box textarea").send_keys("The sky is")
    score = browser.wait("document.querySelector('.box .score')?.textContent")
    code, out, _ = run("score", "--json", FEATURE, "The sky is", model=MODEL)
    said = re.search(r'"activation":(-?[\d.]+)}?', out.splitlines()[1]).group(1)
    check(code == 0 and abs(float(score.replace("−", "-")) - float(said)) < 0.006, f"{score} here, {said} by the command line")
    browser.click(".box input")
    browser.wait("document.querySelectorAll('.box tbody tr').length >= 3")
    check("text=The" in browser.js("return location.search"), "the text is part of the address")
    browser.find(".box textarea").send_keys("\nblue")
    browser.wait("location.search.includes('%0A')")
    browser.js("location.reload()")
    browser.wait("document.querySelector('.box .score')")
    check(browser.js("return document.querySelector('.box textarea').value") == "The sky is\nblue", "a text of two lines, loaded anew")
    quiet("a text of one's own")
    browser.js("const t = document.querySelector('.box textarea'); t.value = ' '.repeat(3000); t.dispatchEvent(new Event('input'))")
    browser.wait("document.querySelector('.box .note:not([hidden])')")
    check("text=" not in browser.js("return location.search"), "a text that no address holds is in none")
    browser.console()  # which may say that it is too long for the model, too


def test_tokens():
    token = server.get("/api/feature", model=key, feature=FEATURE)[1]["scan"]["top"][0]["token"]
    visit(path_of(FEATURE))
    browser.js("document.querySelector('.links a[href^=\"/tokens\"]').click()")
    browser.wait("location.pathname === '/tokens' && document.querySelector('#main:not([aria-busy]) tbody tr')")
    check(re.fullmatch(r"\d+", browser.js("return document.querySelector('input[type=search]').value")), "asked by its id, which is one token")
    check(FEATURE in browser.all("tbody td:first-child"), f"{token!r} leads to {FEATURE}")
    browser.find("input[type=search]").clear()
    browser.find("input[type=search]").send_keys("no such token")
    browser.js("document.querySelector('form').requestSubmit()")
    browser.wait("document.querySelector('.note, .problem')")
    quiet("tokens")


def test_texts():
    visit(f"/results?model={key}")
    rows = browser.all("tbody td:nth-child(2)")
    check(len(rows) >= 4, f"all texts: {rows}")
    browser.find("input[type=search]").send_keys("no text has this")
    browser.js("document.querySelector('form').requestSubmit()")
    browser.wait("document.querySelector('.note')")
    quiet("texts")


def test_compare():
    other = next(m["model"] for m in server.get("/api/models")[1]["models"] if m["untrained"])
    visit("/compare?" + urllib.parse.urlencode({"a": key, "b": other, "place": "block", "block": BLOCK}))
    check(browser.js("return document.querySelectorAll('.heat canvas').length") == 2, "two maps")
    check(len(browser.all("tbody tr")) == 4, f"four features of both: {browser.all('tbody tr')}")
    browser.wait("document.querySelector('.chart canvas')")
    visit("/compare")
    check(browser.js("return document.querySelectorAll('.heat canvas').length") == 2, "the page finds something to compare itself")
    quiet("compare")


def test_slow():
    """What a view shows at first stays while it waits for the rest, and a reader who goes on is not called back."""
    visit("/")
    browser.js("""const real = window.fetch, late = (ms) => new Promise((done) => setTimeout(done, ms));
        window.fetch = async (path, options) => { await late(path.startsWith('/api/models') ? 900 : 0); return real(path, options); };
        history.pushState(null, '', arguments[0]); dispatchEvent(new PopStateEvent('popstate'))""",
               f"/model/{key}/block/{BLOCK}")
    browser.wait("document.querySelector('.heat canvas')")
    check(browser.js("return document.querySelector('#main').hasAttribute('aria-busy')"), "models are still to come")
    browser.wait("!document.querySelector('#main').hasAttribute('aria-busy')")
    check(browser.js("return document.querySelector('.heat canvas') !== null"), "the map is still there")
    browser.js("document.querySelector('#top nav a').click(); document.querySelectorAll('#top nav a')[3].click()")
    browser.wait("document.querySelector('h1')?.textContent === 'Which features like a token?'")
    quiet("a slow server")


def test_unknown():
    visit("/model/none/block/1")
    check("Not here" in browser.all("h1"), "an unknown model says so")
    check(any("404" in line for line in browser.console()), "and that is all that the console says")


# ---- searching ----

def begin(features, method="greedy", **fields):
    visit("/search")
    most = browser.js("return [...document.querySelectorAll('.small input')].map((i) => i.max)")
    limits = server.get("/api/about")[1]["search"]["limits"]
    check(most[:2] == [str(limits[name][1]) for name in ("tokens", "top")], f"as many as the server takes: {most}")
    browser.js("""const [features, method, fields] = arguments, f = document.querySelector('form');
        f.querySelector('.features input').value = features;
        const selects = [...f.querySelectorAll('select')];
        const pick = (v) => selects.find((s) => [...s.options].some((o) => o.value === v)).value = v;
        pick(method);
        for (const v of Object.values(fields)) pick(v);
        f.requestSubmit()""", features, method, {"model": key} | fields)


def state():
    return browser.js("return document.querySelector('.state')?.textContent")


def test_search():
    begin(spec("5"), "swap")
    browser.wait("location.pathname.startsWith('/search/')")
    browser.wait("document.querySelector('.state')?.textContent === 'done'", seconds=120)
    check(len(browser.all(".answers li")) >= 1, "what it found is shown")
    found = browser.js("return document.querySelector('.answers .answer-text').textContent")
    browser.click("button.main")
    browser.wait("document.querySelector('button.main').textContent === 'Kept in the store'")
    browser.click("section h2 a")
    browser.wait("document.querySelector('h1')?.textContent === arguments[0]", spec("5"))
    check(found in browser.all(".answers .answer-text"), f"{found!r} is in the store")
    quiet("a search")


def watch_made_up(**more):
    """A search that is not there: what the page shows of such a state, and of an event source that was refused."""
    visit("/search")
    said = {"id": "x", "state": "done", "model": key, "features": [FEATURE], "method": "auto", "stage": "", "done": 1, "before": 0, "seconds": 1, "results": 0,
            "keep": False, "kept": False, "sign": "+", "store": STORE, "options": {}, "lines": [], "glimpses": []} | more
    browser.js("""const real = window.fetch, said = JSON.stringify(arguments[0]);
        const about = JSON.stringify({store: arguments[0].store});
        window.fetch = (path, options) => path === '/api/search/x' || path === '/api/about'
            ? Promise.resolve(new Response(path === '/api/about' ? about : said)) : real(path, options);
        window.EventSource = class { static CLOSED = 2; readyState = 2; addEventListener() {} close() {} constructor() { setTimeout(() => this.onerror()); } };
        history.pushState(null, '', '/search/x'); dispatchEvent(new PopStateEvent('popstate'))""", said)
    browser.wait("document.querySelector('.state')")


def buttons():
    return browser.driver.find_elements("css selector", ".bar button")


def test_made_up_searches():
    watch_made_up(sign="-", glimpses=[{"feature": FEATURE, "ids": [1], "text": "a", "activation": {"ids": v}} for v in (-1.0, -3.0, -2.0)])
    browser.wait("document.querySelector('.key b')")
    check(browser.all(".key b") == ["−3.0"], f"the best of a search for the lowest: {browser.all('.key b')}")
    watch_made_up(state="running")
    lost = browser.wait("document.querySelector('.problem:not([hidden])')?.textContent")
    check("does not know this search" in lost and state() == "lost" and not any(b.is_displayed() for b in buttons()), f"a server that was started anew: {lost}")
    watch_made_up(error="the disk is full", results=1)
    check(browser.all(".problem:not([hidden])") == ["the disk is full"] and any(b.is_displayed() for b in buttons()), "what is not kept, and why")
    watch_made_up(store=None, results=1)
    check(not any(b.is_displayed() for b in buttons()) and "no store" in browser.js("return document.querySelector('main').textContent"), "nothing to keep it in")
    quiet("made-up searches")


def test_watch():
    begin(spec("6-9"), "auto", budget="1000000")
    browser.wait("document.querySelector('.current')?.textContent", seconds=120)
    check(state() == "running", f"it is {state()}")
    address = browser.js("return location.pathname")
    browser.js("location.reload()")
    browser.settled()
    check(browser.js("return location.pathname") == address and state() == "running", f"after a reload it is {state()}")
    browser.wait("document.querySelector('.current')?.textContent", seconds=120)
    browser.wait("document.querySelector('.curves canvas')", seconds=120)
    browser.js("document.querySelector('.bar button').click()")
    browser.wait("document.querySelector('.state')?.textContent === 'cancelled'", seconds=60)
    visit("/search")
    check(any("cancelled" in line for line in browser.all("ul.plain li")), "the list of searches has it")
    quiet("watching")


def test_mistake():
    begin("block 2 [:, :, 99999]")
    text = browser.wait("document.querySelector('pre.problem:not([hidden])')?.textContent")
    rows = text.split("\n")
    check(len(rows) == 3 and rows[2].index("^") == rows[1].index("99999"), f"a caret under the mistake: {text!r}")
    browser.console()  # which tells of the 400


# ---- every page, otherwise looked at ----

def pages():
    return ["/", f"/model/{key}", f"/model/{key}/block/{BLOCK}", path_of(FEATURE) + "?text=The+sky", "/search",
            f"/tokens?model={key}&token=the", "/compare", f"/results?model={key}"]


def test_phone_and_dark():
    for dark in (False, True):
        browser.look(360, 740, dark)
        for path in pages():
            visit(path)
            wide = browser.js("return document.documentElement.scrollWidth")
            check(wide <= 360, f"{path} is {wide} wide on a phone")
            ground = browser.js("return getComputedStyle(document.body).backgroundColor")
            light = int(re.search(r"\d+", ground).group()) > 128
            check(light != dark, f"{path}: {'dark' if dark else 'light'}, and its ground is {ground}")
            quiet(f"{path} on a phone")
    browser.look()


def test_names():
    """Everything that can be pressed or filled in has a name for those who do not see it."""
    for path in pages():
        visit(path)
        nameless = browser.js("""return [...document.querySelectorAll('a, button, input, select, textarea, canvas[tabindex]')].filter((e) =>
            !(e.offsetParent === null || e.textContent.trim() || e.ariaLabel || e.getAttribute('aria-label') || e.labels?.length)).map((e) => e.outerHTML)""")
        check(not nameless, f"{path}: without a name: {nameless}")


def test_hostile():
    """A vocabulary of script tags and marks that turn the direction of writing is shown as text."""
    model = os.path.join(WORK, "hostile.gguf")
    hostile_model(model)
    fill("scan", "block 1 [:, :, 0-59]", "--top", "100", model=model)
    fill("dream", "block 1 [:, :, 0-2]", "--method", "greedy", "--allow", model_tokens(), model=model)
    other = next(m["model"] for m in server.get("/api/models")[1]["models"] if m["file"] == model)
    for path in (path_of("block 1 [:, :, 0]", other) + "?" + urllib.parse.urlencode({"text": HOSTILE[0]}), f"/model/{other}/block/1",
                 "/tokens?" + urllib.parse.urlencode({"model": other, "token": HOSTILE[0]})):
        visit(path)
        browser.wait("document.querySelector('.tok')")
        check(browser.js("return document.querySelectorAll('main script, main img').length") == 0, f"{path}: an element came out of a token")
        text = browser.js("return document.querySelector('main').textContent")
        check(HOSTILE[0] in text or "/block/" in path, f"{path}: the token is not shown as text")
        check("\u202e" not in text, f"{path}: a mark turns the direction of writing")
        quiet(path)


def model_tokens():
    path = os.path.join(WORK, "allowed.txt")
    with open(path, "w") as f:
        f.write("\n".join(HOSTILE) + "\n")
    return path


# ---- the report ----

def crafted_lines():
    """Two models that differ in their blocks only, and of the first a text that was searched as the lowest."""
    for blocks in (5, 6):
        said = {"file": "drawn.gguf", "sha256": "d" * 64, "name": "drawn", "untrained": True, "quant": "untrained", "init_seed": 0, "blocks": blocks, "width": 4}
        token = {"id": 1, "token": "a", "activation": -5.0}
        yield {"type": "run", "id": f"d{blocks}", "model": said, "command": "scan", "settings": {}}
        yield {"type": "scan", "run": f"d{blocks}", "feature": "block 1 [:, :, 1]", "top": [token], "bottom": [token], "mean": 0, "sd": 1, "n": 9}
    for rank, (text, height, more) in enumerate((("bad", 99.0, {"violates": True}), ("none", None, {}), ("norm", 50.0, {"norm_ratio": 9.0}), ("sound", 7.0, {}))):
        yield {"type": "dream", "run": "d6", "feature": "block 1 [:, :, 1]", "method": "auto", "sign": "+", "rank": rank, "text": text,
               "ids": [1], "tokens": [text], "values": [height], "activation": {"text": height}, "round_trip": True} | more
    yield {"type": "dream", "run": "d5", "feature": "block 1 [:, :, 0]", "method": "auto", "sign": "-", "text": "low", "ids": [1], "tokens": ["low"],
           "values": [-8.0], "activation": {"text": -8.0, "ids": -8.0}, "round_trip": True, "best_token": token, "z": -4.0}


def test_report():
    path = os.path.join(WORK, "crafted.jsonl")
    with open(path, "w") as f:
        f.writelines(json.dumps(line) + "\n" for line in crafted_lines())
    fill("store", "import", path, model=None)
    path = os.path.join(WORK, "report.html")
    code, _, err = run("report", "--store", STORE, "--limit", "200", "--output", path, model=None)
    check(code == 0, f"report: exit {code}: {err}")
    text = open(path, encoding="utf-8").read()
    check(not re.search(r"""(src|href)\s*=\s*["']?\s*https?:""", text, re.I), "an address of the network in a src or href")
    check(len(text.encode()) < 2_000_000, f"{len(text.encode())} bytes")
    browser.console()
    browser.open("file://" + path)
    names = browser.all("tbody td:first-child a")
    check(FEATURE in names and "block 1 [:, :, 0]" in names, f"features: {names[:9]}")
    browser.js("[...document.querySelectorAll('td a')].find((a) => a.textContent === arguments[0]).click()", FEATURE)
    browser.wait("document.querySelector('h1')?.textContent === arguments[0]", FEATURE)
    browser.wait("document.querySelector('.curves canvas')")
    check(len(browser.all(".answers li")) >= 2 and "A text of your own" not in browser.all("h2"), "its texts, and nothing that needs a server")
    address = browser.js("return location.href")
    browser.driver.get("about:blank")
    check(browser.open(address) == FEATURE, "the address of a feature in a report")
    browser.js("document.querySelector('.crumbs li:nth-child(3) a').click()")
    browser.wait("document.querySelector('.heat canvas')")
    browser.js("history.back()")
    browser.wait("document.querySelector('h1')?.textContent === arguments[0]", FEATURE)
    check("<script>alert(1)" not in text, "a token is markup in the report")
    browser.driver.get("about:blank")
    browser.open("file://" + path)
    drawn = [h for h in browser.all("h2") if "drawn" in h]
    check(drawn == [f"drawn untrained of {n} blocks" for n in (5, 6)], f"models of as many blocks as they have: {browser.all('h2')}")
    browser.js("[...document.querySelectorAll('h2 a')].find((a) => a.textContent.includes('drawn')).click()")
    browser.wait("document.querySelector('table.blocks')")
    check("Compare with another model" not in browser.all("a"), "a link to what a report has not")
    browser.click("table.blocks td a")
    row = browser.wait("[...document.querySelectorAll('tbody tr')].map((r) => r.textContent).find((t) => t.includes('low'))")
    check("+3.00" in row, f"a gap goes the way that was searched: {row}")
    browser.js("location.hash = arguments[0]", f"#/model/untrained:{'d' * 64}:0:6/feature/" + urllib.parse.quote("block 1 [:, :, 1]"))
    browser.wait("document.querySelectorAll('.answers .score').length === 4")
    order = [text[:5] for text in browser.all(".answers .answer-text")]
    check(order == ["sound", "none", "norm", "bad"], f"sound texts first, those without an activation behind theirs: {order}")
    quiet("the report")


def main():
    global browser, server
    why = missing()
    if why:
        print(f"skipped: {why}")
        return 77
    make_store()
    browser = Browser()
    server = Server(model=[MODEL, f"untrained:{MODEL}"], store=STORE)
    try:
        run_tests(test_models, test_heat_map, test_feature, test_box, test_tokens, test_texts, test_compare, test_slow, test_unknown, test_search, test_made_up_searches, test_watch,
                  test_mistake, test_phone_and_dark, test_names, test_hostile, test_report)
    finally:
        browser.end()
        server.end()


if __name__ == "__main__":
    sys.exit(main())
