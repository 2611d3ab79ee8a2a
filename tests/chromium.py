"""A headless Chromium for tests/browser.py and tools/pictures.py: pages, keys, waiting, what the console said."""

import base64
import shutil
import sys
import tempfile
import time


def missing():
    """What keeps a browser from being started here, in words; None: nothing."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        return f"{sys.executable} has no selenium (Debian: python3-selenium)"
    for program in ("chromium", "chromedriver"):
        if not shutil.which(program):
            return f"there is no {program} (Debian: chromium, chromium-driver)"
    return None


class Browser:
    def __init__(self, width=1200, height=900, dark=False):
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
        self.profile = tempfile.mkdtemp(prefix="phosphene-chromium-")
        options = webdriver.ChromeOptions()
        for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
                     "--disable-background-networking", "--disable-dev-shm-usage", f"--user-data-dir={self.profile}"):
            options.add_argument(word)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(service=Service(shutil.which("chromedriver")), options=options)
        self.driver.set_page_load_timeout(60)
        self.look(width, height, dark)

    def end(self):
        self.driver.quit()
        shutil.rmtree(self.profile, ignore_errors=True)

    def look(self, width=1200, height=900, dark=False, density=1):
        """The size of the window, and whether the reader's system is dark."""
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": density, "mobile": width < 600})
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})

    def open(self, url):
        self.driver.get(url)
        return self.settled()

    def js(self, text, *args):
        return self.driver.execute_script(text, *args)

    def wait(self, text, *args, seconds=20):
        """The value of a JavaScript expression once it is true."""
        until = time.time() + seconds
        while time.time() < until:
            value = self.js(f"return {text}", *args)
            if value:
                return value
            time.sleep(0.03)
        raise TimeoutError(f"{text} stayed false at {self.driver.current_url}: {self.js('return document.body.innerText')[:600]}")

    def settled(self):
        """The page once its view is complete: its heading."""
        return self.wait("document.querySelector('#main:not([aria-busy]) h1')?.textContent")

    def all(self, selector):
        return self.js("return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)", selector)

    def find(self, selector):
        return self.wait("document.querySelector(arguments[0])", selector)

    def click(self, selector):
        element = self.find(selector)
        self.js("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def press(self, *keys):
        from selenium.webdriver.common.action_chains import ActionChains
        ActionChains(self.driver).send_keys(*keys).perform()

    def console(self):
        """Warnings and errors since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]

    def picture(self, path, selector=None, margin=0):
        """A PNG of an element, or of all that is in the window."""
        options = {"format": "png"}
        if selector:
            box = self.js("const b = document.querySelector(arguments[0]).getBoundingClientRect();"
                          "return [b.left + scrollX, b.top + scrollY, b.width, b.height]", selector)
            options |= {"captureBeyondViewport": True, "clip": {
                "x": box[0] - margin, "y": box[1] - margin, "width": box[2] + 2 * margin, "height": box[3] + 2 * margin, "scale": 1}}
        data = self.driver.execute_cdp_cmd("Page.captureScreenshot", options)["data"]
        with open(path, "wb") as f:
            f.write(base64.b64decode(data))
