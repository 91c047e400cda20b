"""Debian's chromium, spoken to over the DevTools protocol on a pipe: no driver, no package, no port.

Messages are JSON, each ended by a NUL; the browser reads them from file descriptor 3 and answers on 4.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ANSWER_TIMEOUT = 30  # seconds for one answer of the browser
VIEW = {"width": 1600, "height": 900, "deviceScaleFactor": 1, "mobile": False}

# Finds where to click; a string says why that is nowhere.
TARGET = """(text, within) => {
  const words = (each) => (each.type === "submit" && each.value ? each.value : each.textContent);
  const shown = (each) => words(each).trim().replace(/\\s+/g, " ");
  const targets = [...document.querySelectorAll(within)].flatMap((each) =>
    [...each.querySelectorAll("a, button, input[type=submit], summary, label, option")]);
  const target = targets.find((each) => shown(each) === text && each.checkVisibility());
  if (!target) return "nothing to click";
  target.scrollIntoView({ block: "center", behavior: "instant" });
  const box = target.getClientRects()[0];
  const place = [box.x + box.width / 2, box.y + box.height / 2];
  const top = document.elementFromPoint(...place);
  return target.contains(top) ? place : `covered by ${top?.outerHTML.slice(0, 100)}`;
}"""
# Focuses the field of a label, or of an aria-label, and selects what it holds.
FIELD = """(label) => {
  const name = (each) => each.ariaLabel ?? [...(each.labels ?? [])].map((one) => one.innerText).join(" ");
  const fields = [...document.querySelectorAll("input, textarea")].filter((each) => each.checkVisibility());
  const field = fields.find((each) => name(each).trim().replace(/:$/, "") === label);
  if (!field) throw new Error(`no field ${label} among ${fields.map(name)}`);
  field.focus();
  field.select();
}"""


class BrowserError(Exception):
    """The browser is not there, died, or refused a command."""


class Page:
    """One tab. `complaints` collects what a person with the console open would see in red."""

    def __init__(self, process: subprocess.Popen[bytes], to: int, answers: int) -> None:
        self._process, self._to, self._answers = process, to, answers
        self._last, self._buffer, self._session = 0, b"", ""
        self._events: list[dict[str, Any]] = []
        self.complaints: list[str] = []
        os.set_blocking(answers, False)
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.send("Emulation.setDeviceMetricsOverride", **VIEW)

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and wait for its answer. Raises BrowserError where it is refused."""
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + ANSWER_TIMEOUT
        while True:
            answer = self._read(deadline, method)
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']}")
                return dict(answer["result"])
            if "method" in answer:  # the others answer what was given up
                self._note(answer)

    def open(self, address: str) -> int:
        """Load an address, and return the status of its answer after redirects."""
        return self._loading(lambda: self.send("Page.navigate", url=address))

    def submit(self, selector: str, **values: str) -> int:
        """Fill in a form's fields by name, send it, and return the status of its answer after redirects."""
        script = (
            f"const form = document.querySelector({json.dumps(selector)});"
            f"Object.entries({json.dumps(values)}).forEach(([name, value]) => form.elements[name].value = value);"
            "form.requestSubmit();"
        )
        return self._loading(lambda: self.run(script))

    def click(self, text: str, within: str = "body") -> int:
        """Click what shows this text, as a hand does, and return the status of the page that it leads to.

        The first visible link or button of this text counts. Raises BrowserError without one, or where it is covered.
        """
        return self._loading(lambda: self._hit(text, within))

    def touch(self, text: str, within: str = "body") -> None:
        """Click what leads to no other page."""
        self._hit(text, within)

    def write(self, label: str, text: str) -> None:
        """Write into the field of this label, over what it holds."""
        self.run(f"({FIELD})({json.dumps(label)})")
        self.send("Input.insertText", text=text)

    def text(self, selector: str) -> str:
        """Return the text of an element as it is seen, with single spaces. Raises BrowserError without one."""
        return " ".join(str(self.run(f"document.querySelector({json.dumps(selector)}).innerText")).split())

    def texts(self, selector: str) -> list[str]:
        """Return the text of each element, with single spaces."""
        found = self.run(f"[...document.querySelectorAll({json.dumps(selector)})].map(each => each.innerText)")
        return [" ".join(text.split()) for text in found]

    def fields(self) -> dict[str, str]:
        """Return what a row's page shows, by label."""
        rows = self.run(
            "[...document.querySelectorAll('.form-row .flex-container')].map((each) =>"
            " [each.querySelector('label').innerText, each.querySelector('.readonly').innerText])"
        )
        return {label.strip().removesuffix(":"): " ".join(value.split()) for label, value in rows}

    def take_complaints(self) -> list[str]:
        """Return what was red in the console since the last time: errors, dialogs, reports of a broken policy."""
        self.run("1")  # all that the browser said before its answer is read
        complaints, self.complaints = self.complaints, []
        return complaints

    def expect_no_complaints(self) -> None:
        """Assert that nothing was red in the console since the last time."""
        complaints = self.take_complaints()
        assert complaints == [], complaints

    def wear(self, theme: str) -> None:
        """Prefer `light` or `dark`, as the system does."""
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])

    def download_to(self, folder: Path) -> None:
        """Keep what is downloaded from now on in this folder."""
        self.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    def _hit(self, text: str, within: str) -> None:
        place = self.run(f"({TARGET})({json.dumps(text)}, {json.dumps(within)})")
        if isinstance(place, str):
            raise BrowserError(f"{text}: {place} on {self.run('location.href')}")
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def resize(self, width: int, height: int) -> None:
        """Give the window another size, in CSS pixels; below 768 it is a telephone's."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 768}
        self.send("Emulation.setDeviceMetricsOverride", **size)

    def settle(self) -> None:
        """Wait until nothing that is seen moves, and none of its colours changes.

        In a section that is folded up, chromium begins a change of colour and never ends it.
        """
        self.run(
            "Promise.allSettled(document.getAnimations().filter((each) => each.effect.target.checkVisibility())"
            ".map((each) => each.finished)).then(() => 1)"
        )

    def run(self, script: str) -> Any:
        """Return the value of a JavaScript expression."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def press(self, key: str, text: str) -> None:
        """Press a key, and let go of it, where the focus is. `text`: what it would write."""
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, text=text if kind == "keyDown" else "")

    def photograph(self, path: Path) -> None:
        """Save the whole page as PNG."""
        self.settle()
        shot = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _loading(self, cause: Any) -> int:
        self._events.clear()
        cause()
        deadline = time.monotonic() + ANSWER_TIMEOUT
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            if "method" in (event := self._read(deadline, "loading")):
                self._note(event)
        documents = [
            event["params"]["response"]["status"]
            for event in self._events
            if event["method"] == "Network.responseReceived" and event["params"]["type"] == "Document"
        ]
        return int(documents[-1])

    def _note(self, event: dict[str, Any]) -> None:
        self._events.append(event)
        method, params = event["method"], event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"].get("text")))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            address = params["entry"].get("url", "")
            # asked for by the browser itself, of answers that are no pages
            if not address.endswith("/favicon.ico"):
                self.complaints.append(f"{params['entry']['text']} {address}")
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.complaints.append(f"console: {[each.get('value') for each in params['args']]}")
        elif method == "Page.javascriptDialogOpening":
            self.complaints.append(f"a dialog: {params['message']}")
            self.send("Page.handleJavaScriptDialog", accept=True)

    def _read(self, deadline: float, waiting_for: str) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise BrowserError(f"no answer to {waiting_for}; chromium's exit code: {self._process.poll()}")
            try:
                self._buffer += os.read(self._answers, 1 << 20)
            except BlockingIOError:
                time.sleep(0.005)
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))


@contextmanager
def chromium() -> Iterator[Page]:
    """Start a browser with an empty profile, yield its page, and end it with all its processes.

    Whatever the page complained of fails the test, unless the test has taken it out of `complaints`.
    """
    program = shutil.which("chromium")
    if program is None:
        raise BrowserError("chromium is not installed: apt-get install chromium")
    commands, to = os.pipe()
    answers, replies = os.pipe()
    with tempfile.TemporaryDirectory(prefix="ajo-browser-", ignore_cleanup_errors=True) as profile:
        shell = f'exec "$@" 3<&{commands} 4>&{replies}'
        flags = ["--headless=new", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu", "--hide-scrollbars"]
        # The sandbox needs rights that neither root nor a container has; these pages are our own.
        flags += ["--no-sandbox", "--disable-dev-shm-usage", f"--user-data-dir={profile}"]
        process = subprocess.Popen(
            ["bash", "-c", shell, "bash", program, *flags],
            pass_fds=(commands, replies),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(replies)
        try:
            page = Page(process, to, answers)
            yield page
            page.expect_no_complaints()
        finally:
            os.close(to)
            os.close(answers)
            process.terminate()
            process.wait(ANSWER_TIMEOUT)
