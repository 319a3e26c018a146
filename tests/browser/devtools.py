"""A headless Chromium that a test steers: pages that load data, clicks, console, screenshots.

It speaks Chromium's DevTools protocol through two pipes, so no port is open and no package needed.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run", "--hide-scrollbars",
    "--disable-features=IsolateOrigins,site-per-process,IsolateSandboxedIframes",
)  # fmt: skip
# Moves two descriptors to 3 and 4 and becomes the browser.
_PLUMB = """import fcntl, os, sys
high = [fcntl.fcntl(int(text), fcntl.F_DUPFD, 10) for text in sys.argv[1:3]]
for target, source in zip((3, 4), high):
    os.dup2(source, target)
os.execv(sys.argv[3], sys.argv[3:])"""
_SECONDS = 60.0


class Tab:
    """The one tab of a browser."""

    def __init__(self, out: Any, into: Any) -> None:
        self._out, self._into = out, into
        self._number, self._rest = 0, b""
        self._contexts: dict[str, int] = {}  # frame → where scripts run in it now
        self.problems: list[str] = []  # errors of the console and of scripts, and failed requests
        (target,) = [
            one for one in self._ask("Target.getTargets")["targetInfos"] if one["type"] == "page"
        ]
        attached = self._ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = str(attached["sessionId"])
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **given: Any) -> dict[str, Any]:
        """Send a command of the protocol to the tab, and return its result."""
        return self._ask(method, self._session, **given)

    def open(self, address: str) -> None:
        """Go to a page; returns when the navigation has begun."""
        self.send("Page.navigate", url=address)

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression, a promise awaited."""
        found = self.send(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in found:
            raise AssertionError(f"{expression[:200]}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def in_frame(self, expression: str) -> Any:
        """The value of an expression in the page of the only frame; None while there is none."""
        tree = self.send("Page.getFrameTree")["frameTree"]
        frames = [one["frame"]["id"] for one in tree.get("childFrames", ())]
        context = self._contexts.get(frames[0]) if frames else None
        if context is None:
            return None
        found = self.send(
            "Runtime.evaluate", expression=expression, contextId=context, returnByValue=True
        )
        return found["result"].get("value")

    def frame_address(self) -> str:
        """The address of the only frame's page; empty while there is none."""
        tree = self.send("Page.getFrameTree")["frameTree"]
        return next((str(one["frame"]["url"]) for one in tree.get("childFrames", ())), "")

    def run(self, body: str) -> Any:
        """What the body of an asynchronous function returns in the page."""
        return self.value(f"(async () => {{ {body} }})()")

    def wait(self, expression: str, seconds: float = _SECONDS) -> Any:
        """The first value of an expression that is neither empty nor false, within some time."""
        end = time.monotonic() + seconds
        while not (found := self.value(expression)):
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds} s: {expression}\n{self.text()[:3000]}")
            time.sleep(0.1)
        return found

    def wait_for_text(self, *texts: str, seconds: float = _SECONDS) -> str:
        """What the page shows, once it shows these texts."""
        wanted = json.dumps(texts)
        shows = "(document.body?.innerText ?? '').includes(text)"
        self.wait(f"{wanted}.every((text) => {shows})", seconds)
        return self.text()

    def text(self) -> str:
        """What the page shows, as text."""
        return str(self.value("document.body ? document.body.innerText : ''"))

    def screenshot(self, path: Path) -> None:
        """Save what the window shows as PNG."""
        found = self.send("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(found["data"]))

    def _ask(self, method: str, session: str = "", **given: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": given}
        if session:
            message["sessionId"] = session
        self._into.write(json.dumps(message).encode() + b"\0")
        self._into.flush()
        while True:
            answer = self._next()
            if answer.get("id") == message["id"]:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return dict(answer["result"])
            self._note(answer.get("method", ""), answer.get("params", {}))

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            got = os.read(self._out, 1 << 20)
            if not got:
                raise AssertionError("the browser has ended")
            self._rest += got
        message, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(message))

    def _note(self, event: str, given: dict[str, Any]) -> None:
        if event == "Runtime.executionContextCreated":
            context = given["context"]
            self._contexts[context["auxData"]["frameId"]] = context["id"]
        elif event == "Runtime.exceptionThrown":
            details = given["exceptionDetails"]
            thrown = details.get("exception", {}).get("description", "")
            self.problems.append(f"{details['text']} {thrown}"[:500])
        elif event == "Runtime.consoleAPICalled" and given["type"] == "error":
            said = (str(one.get("value", one.get("description", ""))) for one in given["args"])
            self.problems.append(" ".join(said)[:500])
        elif event == "Log.entryAdded" and given["entry"]["level"] == "error":
            entry = given["entry"]
            self.problems.append(f"{entry['text']} {entry.get('url', '')}"[:500])


@contextmanager
def chromium(profile: Path, width: int = 1280, height: int = 900) -> Iterator[Tab]:
    """A browser with one tab, whose window has this size; ``profile`` is a folder for it."""
    ours, theirs = os.pipe(), os.pipe()  # commands to it, answers from it
    command = [
        str(CHROMIUM), *_OPTIONS, f"--user-data-dir={profile}", "--remote-debugging-pipe",
        f"--window-size={width},{height}", "about:blank",
    ]  # fmt: skip
    # Chromium reads commands from descriptor 3 and writes to 4.
    ends = ours[0], theirs[1]
    plumbed = [sys.executable, "-c", _PLUMB, *map(str, ends), *command]
    quiet = subprocess.DEVNULL
    browser = subprocess.Popen(plumbed, pass_fds=ends, stdout=quiet, stderr=quiet)
    os.close(ours[0])
    os.close(theirs[1])
    try:
        with os.fdopen(ours[1], "wb") as into:
            yield Tab(theirs[0], into)
    finally:
        browser.terminate()
        browser.wait(timeout=30)
        os.close(theirs[0])
