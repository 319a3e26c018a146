"""The files of a report as MLflow gets them, and what a report calls the tested settings.

MLflow shows ``report.html`` in a frame that can neither open a window nor download, and that knows
no file beside the page. So the logged page carries the files that its links name.
"""

import base64
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from reports.csv_files import read_csv
from saat.errors import InputError

if TYPE_CHECKING:
    from mlflow import MlflowClient

_LINK = re.compile(r'<a href="((?:figures|tables)/[\w.-]+)"([^>]*)>(.*?)</a>')
_RUN = re.compile(r'<a class="run" href="[^"]*">(.*?)</a>')
_TYPES = {".png": "image/png", ".csv": "text/plain", ".md": "text/plain", ".tex": "text/plain"}
# A page in a sandboxed frame may not go to its own address, so a link within it scrolls by script.
_SCROLL = """<script>
addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="#"]');
  const target = link && document.getElementById(link.getAttribute("href").slice(1));
  if (!target) return;
  event.preventDefault();
  target.scrollIntoView();
});
</script>
</body>"""
_FOLDERS = ("figures", "tables")
_FRONT = "frontier.json"


def letters_of(run_dir: Path) -> dict[str, str]:
    """Hash of a tested setting → its letter in the report; only those that have one."""
    # Here, not above: pandas and the statistics of reports take a second to import.
    from reports.confirmed import confirmed_configs
    from reports.results import load_search

    with suppress(InputError):
        configs = confirmed_configs(load_search(run_dir))
        return {config.config_hash: config.letter for config in configs if config.letter}
    return {}


def log_report(client: "MlflowClient", run_id: str, report: Path) -> None:
    """Log what a report consists of to a run; nothing if it was deleted meanwhile."""
    page, front = report / "report.html", report / "frontier.csv"
    if page.exists():
        text = self_contained(page.read_text(encoding="utf-8"), report)
        client.log_text(run_id, text, page.name)
    if front.exists():
        client.log_artifact(run_id, str(front))
        rows = read_csv(front).astype(object).fillna("")
        table = rows.to_dict(orient="split", index=False)
        client.log_text(run_id, json.dumps(table), _FRONT)
        listed = json.dumps([{"path": _FRONT, "type": "table"}])
        client.set_tag(run_id, "mlflow.loggedArtifacts", listed)
    for part in _FOLDERS:
        if (report / part).is_dir():
            client.log_artifacts(run_id, str(report / part), part)


def self_contained(page: str, report: Path) -> str:
    """The page with the figures and tables of its links inside.

    Links within the page scroll by script. PDFs and runs are named without a link: the frame can
    show neither.
    """

    def inside(link: re.Match[str]) -> str:
        file, text = report / link[1], link[3]
        kind = _TYPES.get(file.suffix)
        if kind is None or not file.is_file():
            return f'<span title="{link[1]}, an artifact of this run">{text}</span>'
        content = base64.b64encode(file.read_bytes()).decode()
        charset = "" if kind.startswith("image") else ";charset=utf-8"
        return f'<a href="data:{kind}{charset};base64,{content}"{link[2]}>{text}</a>'

    linked = _RUN.sub(r"\1", _LINK.sub(inside, page))
    return _SCROLL.join(linked.rsplit("</body>", 1))
