"""Opens pages in headless Chromium and says, as JSON, what a reader would get: what was asked of the network, what was
complained of, colours, contrast, what sticks out of the window.

Usage: python browse.py BROWSER PAGE [PICTURE-PREFIX [LAST-SECTION]]

With a prefix, PREFIX-light.png and PREFIX-dark.png are written, of the page down to the section before LAST-SECTION.
Only the standard library: the browser is spoken to by its own protocol over two pipes.
"""

import base64
import json
import os
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

# The least contrast of all text, the text that has it, and what is wider than the window.
FACTS = r"""
(() => {
  const channel = value => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const parse = colour => colour.match(/[\d.]+/g).map(Number);
  const background = element => {
    for (; element; element = element.parentElement) {
      const colour = parse(getComputedStyle(element).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  let least = { contrast: 99 };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let count = 0;
  for (let node; (node = texts.nextNode());) {
    const element = node.parentElement;
    if (!node.data.trim() || element.closest('title') || !element.getClientRects().length) continue;
    count += 1;
    const style = getComputedStyle(element);
    const ink = parse(element instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [luminance(ink), luminance(background(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < least.contrast) least = { contrast, text: node.data.trim().slice(0, 60) };
  }
  const marks = [...document.querySelectorAll('.whisker, .point path, .curve-line')].map(mark => {
    const style = getComputedStyle(mark);
    const [a, b] = [luminance(parse(mark.matches('.point path') ? style.fill : style.stroke)), luminance(background(mark))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  });
  const wide = [...document.querySelectorAll('body *')].filter(element =>
    !element.closest('.scroll') && element.getBoundingClientRect().right > innerWidth + 1 && !element.closest('svg'));
  return {
    texts: count, least, least_mark: Math.min(...marks), marks: marks.length,
    background: getComputedStyle(document.body).backgroundColor,
    overflow: document.documentElement.scrollWidth - innerWidth,
    wide: wide.slice(0, 5).map(element => element.outerHTML.slice(0, 120)),
    scripts: document.scripts.length, elements: document.querySelectorAll('*').length,
    sections: [...document.querySelectorAll('section')].map(section => section.id),
    height: document.documentElement.scrollHeight,
  };
})()
"""


class Browser:
    def __init__(self, program, profile):
        from_us, to_browser = os.pipe()
        from_browser, to_us = os.pipe()
        os.set_inheritable(from_us, True)
        os.set_inheritable(to_us, True)

        def places():
            # Where --remote-debugging-pipe expects them; copies first, lest one overwrite the other.
            reading, writing = os.dup(from_us), os.dup(to_us)
            os.dup2(reading, 3)
            os.dup2(writing, 4)

        arguments = [
            program, "--headless", "--remote-debugging-pipe", f"--user-data-dir={profile}", "--no-first-run",
            "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--force-color-profile=srgb",
            "--font-render-hinting=none", "--disable-background-networking", "--disable-component-update",
        ]  # fmt: skip
        if os.geteuid() == 0:
            arguments.append("--no-sandbox")
        self.process = subprocess.Popen(
            arguments, preexec_fn=places, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(from_us)
        os.close(to_us)
        self.to, self.answers = to_browser, from_browser
        self.buffer, self.number, self.events, self.session = b"", 0, [], None

    def receive(self):
        while b"\0" not in self.buffer:
            part = os.read(self.answers, 1 << 16)
            if not part:
                raise SystemExit(f"the browser ended with {self.process.wait()}")
            self.buffer += part
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.to, data):]
        while True:
            answer = self.receive()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise SystemExit(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def wait_for(self, event):
        while True:
            for seen in self.events:
                if seen.get("method") == event:
                    return
            self.events.append(self.receive())

    def evaluate(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise SystemExit(answer["exceptionDetails"])
        return answer["result"]["value"]

    def open(self, url):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")
        self.call("Page.navigate", url=url)
        self.wait_for("Page.loadEventFired")

    def show(self, width, scheme, media="screen", height=900):
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", media=media, features=[feature])

    def picture(self, **clip):
        clip = {"scale": 1, **clip}
        answer = self.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(answer["data"])


def first_pixel(png):
    """Red, green and blue of the upper left pixel of an 8-bit PNG."""
    data, place = b"", 8
    while place < len(png):
        length, kind = int.from_bytes(png[place:place + 4]), png[place + 4:place + 8]
        if kind == b"IDAT":
            data += png[place + 8:place + 8 + length]
        place += 12 + length
    return list(zlib.decompress(data)[1:4])


def main():
    program, page = sys.argv[1], Path(sys.argv[2]).resolve()
    found, started = {"views": {}}, time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(program, profile)
        try:
            browser.open(page.as_uri())
            for name, width, scheme, media in [
                ("light", 1200, "light", "screen"),
                ("dark", 1200, "dark", "screen"),
                ("narrow", 400, "light", "screen"),
                ("narrow-dark", 400, "dark", "screen"),
                ("print", 800, "dark", "print"),
            ]:
                browser.show(width, scheme, media)
                facts = browser.evaluate(FACTS)
                facts["pixel"] = first_pixel(browser.picture(x=0, y=0, width=4, height=4))
                found["views"][name] = facts
            if len(sys.argv) > 3:
                pictures(browser, sys.argv[3], sys.argv[4] if len(sys.argv) > 4 else None)
            events = browser.events
            found["requests"] = [
                event["params"]["request"]["url"] for event in events if event.get("method") == "Network.requestWillBeSent"
            ]
            found["complaints"] = [
                event["params"] for event in events
                if event.get("method") in ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
            ]  # fmt: skip
            found["pdf"] = len(base64.b64decode(browser.call("Page.printToPDF")["data"]))
            browser.session = None
            browser.call("Browser.close")
        finally:
            try:
                browser.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                browser.process.kill()
                browser.process.wait()
    found["seconds"] = round(time.monotonic() - started, 2)
    json.dump(found, sys.stdout)


def pictures(browser, prefix, last):
    for scheme in ("light", "dark"):
        browser.show(1200, scheme)
        bottom = browser.evaluate(
            f"document.getElementById({json.dumps(last)}).getBoundingClientRect().top + scrollY - 30"
            if last else "document.documentElement.scrollHeight"
        )
        Path(f"{prefix}-{scheme}.png").write_bytes(browser.picture(x=0, y=0, width=1200, height=int(bottom)))


main()
