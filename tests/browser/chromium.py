"""Ask a page in a headless Chromium: run a function in it, and return what it found."""

import html
import importlib.util
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
WIDE, NARROW = 1280, 400  # CSS pixels
_NARROWEST_WINDOW = 500  # a window of Chromium; a frame in it may be narrower
OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
]  # fmt: skip
# Runs `look()` when the page is there, and hands its result over as the title of the window.
_WATCH = """<script>
  const faults = [];
  addEventListener("error", (event) => faults.push(event.message));
  addEventListener("unhandledrejection", (event) => faults.push(String(event.reason)));
  const consoleError = console.error;
  console.error = (...words) => {{ faults.push(words.join(" ")); consoleError(...words); }};
  async function look() {{ {body} }}
  const timer = setInterval(async () => {{
    if (document.body.dataset.drawn !== "yes" && !faults.length) return;
    clearInterval(timer);
    let found = null;
    try {{ found = await look(); }} catch (error) {{ faults.push(String(error)); }}
    const answer = JSON.stringify({{ found, faults }});
    if (parent === window) document.title = answer;
    else parent.postMessage(answer, "*");
  }}, 50);
</script>"""
_FRAME = """<!doctype html><title>waiting</title>
<iframe src="{page}" style="width: {width}px; height: 900px; border: 0"></iframe>
<script>addEventListener("message", (event) => {{ document.title = event.data; }});</script>"""

# Tells the listener of `loading` when the page is drawn.
_TIMED = """<script>
  const faults = [];
  addEventListener("error", (event) => faults.push(event.message));
  addEventListener("unhandledrejection", (event) => faults.push(String(event.reason)));
  console.error = (...words) => {{ faults.push(words.join(" ")); }};
  const timer = setInterval(() => {{
    if (document.body.dataset.drawn !== "yes" && !faults.length) return;
    clearInterval(timer);
    const body = JSON.stringify({{ milliseconds: performance.now(), faults }});
    fetch("{address}", {{ method: "POST", mode: "no-cors", body }});
  }}, 20);
</script>"""


def ask(content: str, folder: Path, body: str, width: int = WIDE) -> Any:
    """Open a page that is ``width`` pixels wide, and return what ``body`` returns in it.

    ``body`` is that of an asynchronous function, which runs when ``data-drawn`` of the page's body
    is "yes".

    Raises:
        AssertionError: the page was not drawn, or something of it failed or wrote an error.
    """
    page = folder / "page.html"
    script = _WATCH.format(body=body)
    page.write_text(content.replace("<body>", f"<body>{script}", 1), encoding="utf-8")
    opened = page
    if width < _NARROWEST_WINDOW:
        opened = folder / "frame.html"
        opened.write_text(_FRAME.format(page=page.name, width=width), encoding="utf-8")
    options = [*OPTIONS, f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=20000"]
    command = [str(CHROMIUM), *options, f"--window-size={max(width, _NARROWEST_WINDOW)},900"]
    done = subprocess.run(
        [*command, "--dump-dom", opened.as_uri()],
        capture_output=True, text=True, timeout=200, check=True,
    )  # fmt: skip
    title = re.search(r"<title>(\{.*?\})</title>", done.stdout, re.DOTALL)
    assert title, "the page was never drawn"
    answer = json.loads(html.unescape(title.group(1)))
    assert answer["faults"] == []
    return answer["found"]


def axe() -> str:
    """The script of axe-core, which a development package ships; empty where it is absent."""
    found = importlib.util.find_spec("axe_playwright_python")  # nothing of it is imported
    if found is None or found.origin is None:
        return ""
    return (Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8")


class Loading(NamedTuple):
    """How a page opened, on the clock of the wall."""

    seconds: float  # from the start of the navigation to `data-drawn`
    faults: list[str]  # errors, and what was written as one


def loading(page: Path, folder: Path) -> Loading:
    """Open a page as a person does, without virtual time, and measure until it is drawn."""
    answers: queue.Queue[bytes] = queue.Queue()

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answers.put(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        timed = folder / "timed.html"
        script = _TIMED.format(address=address)
        content = page.read_text(encoding="utf-8").replace("<body>", f"<body>{script}", 1)
        timed.write_text(content, encoding="utf-8")
        options = [*OPTIONS, f"--user-data-dir={folder / 'timed'}", "--remote-debugging-port=0"]
        command = [str(CHROMIUM), *options, "--window-size=1280,900", timed.as_uri()]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as run:
            try:
                answer = json.loads(answers.get(timeout=120))
            finally:
                os.killpg(run.pid, signal.SIGTERM)
                server.shutdown()
    return Loading(answer["milliseconds"] / 1000, answer["faults"])
