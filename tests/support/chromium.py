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

PATIENCE = 30  # seconds for one answer of the browser
VIEW = {"width": 1600, "height": 900, "deviceScaleFactor": 1, "mobile": False}


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
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self._read(deadline, method)
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']}")
                return dict(answer["result"])
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

    def resize(self, width: int, height: int) -> None:
        """Give the window another size, in CSS pixels; below 768 it is a telephone's."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 768}
        self.send("Emulation.setDeviceMetricsOverride", **size)

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
        shot = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _loading(self, cause: Any) -> int:
        self._events.clear()
        cause()
        deadline = time.monotonic() + PATIENCE
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._note(self._read(deadline, "loading"))
        documents = [
            event["params"]["response"]["status"]
            for event in self._events
            if event["method"] == "Network.responseReceived" and event["params"]["type"] == "Document"
        ]
        return int(documents[-1])

    def _note(self, event: dict[str, Any]) -> None:
        self._events.append(event)
        method, params = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"].get("text")))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
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
    """Start a browser with an empty profile, yield its page, and end it with all its processes."""
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
            yield Page(process, to, answers)
        finally:
            os.close(to)
            os.close(answers)
            process.terminate()
            process.wait(PATIENCE)
