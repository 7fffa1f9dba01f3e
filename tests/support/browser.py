"""A page in Chromium without a window, without a network, and what it does there.

Spoken is the DevTools protocol (https://chromedevtools.github.io/devtools-protocol) over two
pipes, which Chromium reads as file descriptor 3 and writes as 4: messages end with a NUL.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

Message = dict[str, Any]

_OFFLINE = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    # Whatever is looked up has no address.
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--proxy-server=127.0.0.1:9",
    "--remote-debugging-pipe",
)


def missing() -> str:
    """Why there is no browser; "" if there is one."""
    return "" if shutil.which("chromium") else "chromium is missing (make packages)"


class Page:
    """A page that was loaded. ``said`` is what its console has, errors and all; ``asked`` are
    the addresses that it asked for.
    """

    def __init__(self, reading: int, writing: int) -> None:
        self._reading, self._writing = reading, writing
        self._rest = b""
        self._number = 0
        self._session: str | None = None
        self.said: list[str] = []
        self.asked: list[str] = []

    def call(self, method: str, **parameters: object) -> Message:
        """What a command gives; what happens until then is noted."""
        self._number += 1
        number = self._number
        message: Message = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        while True:
            found = self._next()
            if found.get("id") == number:
                assert "error" not in found, f"{method}: {found['error']}"
                result: Message = found["result"]
                return result
            self._note(found)

    def open(self, path: Path) -> None:
        """Load a file, and wait until its scripts have run."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        found = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Page.navigate", url=path.as_uri())
        while True:
            event = self._next()
            self._note(event)
            if event.get("method") == "Page.loadEventFired":
                return

    def run(self, script: str) -> Any:
        """What an expression gives, as JSON; a promise is waited for."""
        found = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def prefer(self, scheme: str) -> None:
        """Have the page see ``light`` or ``dark`` as what its reader prefers."""
        self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )

    def size(self, width: int, height: int) -> None:
        """Give the page a window of a size, in pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def press(self, key: str) -> None:
        """Press a key, such as ``Tab`` or ``Enter``."""
        code = {"Tab": 9, "Enter": 13}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                **(text if kind == "keyDown" else {}),
            )

    def type(self, text: str) -> None:
        """Type a text where the focus is."""
        self.call("Input.insertText", text=text)

    def picture(self) -> bytes:
        """The whole page as a PNG."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(found["data"])

    def close(self) -> None:
        """Have the browser end."""
        self._session = None
        self.call("Browser.close")

    def _next(self) -> Message:
        while b"\0" not in self._rest:
            read = os.read(self._reading, 1 << 20)
            assert read, "chromium has ended"
            self._rest += read
        text, _, self._rest = self._rest.partition(b"\0")
        found: Message = json.loads(text)
        return found

    def _note(self, event: Message) -> None:
        parameters = event.get("params", {})
        match event.get("method"):
            case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Log.entryAdded":
                self.said.append(json.dumps(parameters))
            case "Network.requestWillBeSent":
                self.asked.append(parameters["request"]["url"])


def _high(descriptor: int) -> int:
    """The same file under a number that no shell uses for redirections."""
    found = fcntl.fcntl(descriptor, fcntl.F_DUPFD, 10)
    os.close(descriptor)
    return found


@contextmanager
def page(path: Path) -> Iterator[Page]:
    """A file as a page of a browser of its own, whose profile is new and goes with it."""
    out_read, out_write = os.pipe()
    in_read, in_write = os.pipe()
    # Processes of the browser that end a little later may write there still.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = ["chromium", *_OFFLINE, f"--user-data-dir={profile}"]
        # The shell puts the pipes where Chromium looks for them; so they must be elsewhere here.
        in_read, out_write = _high(in_read), _high(out_write)
        shell = f'exec "$@" 3<&{in_read} 4>&{out_write} {in_read}<&- {out_write}>&-'
        process = subprocess.Popen(
            ["bash", "-c", shell, "chromium", *command],
            pass_fds=(in_read, out_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(in_read)
        os.close(out_write)
        found = Page(out_read, in_write)
        try:
            found.open(path)
            yield found
            found.close()
            process.wait()
        finally:
            os.close(in_write)
            os.close(out_read)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
