"""axe-core finds nothing serious on the page of a report, at any width."""

from pathlib import Path
from typing import Any

import pytest

from tests.browser.devtools import CHROMIUM
from tests.browser.pages import DRAWN, NARROW, WIDE, ask, axe

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium")

OPENED = f"""{DRAWN}
  for (const box of document.querySelectorAll("details")) box.open = true;
  await new Promise((resolve) => setTimeout(resolve, 300));
"""


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_axe_finds_nothing_serious(content: str, folder: Path, width: int) -> None:
    if not (script := axe()):
        pytest.skip("axe-core is not installed: pip install axe-playwright-python")
    safe = script.replace("</script", "<\\/script")
    found: dict[str, Any] = ask(
        content.replace("</head>", f"<script>{safe}</script></head>", 1),
        folder,
        f"""{OPENED}
          const result = await axe.run(document);
          const short = (found) => found.map((one) => [one.impact, one.id,
            one.nodes.map((node) => node.html.slice(0, 120)).slice(0, 5)]);
          const heat = result.passes.filter((one) => one.id === "color-contrast")
            .flatMap((one) => one.nodes).filter((node) => node.html.includes("background:"));
          return {{ violations: short(result.violations), heat: heat.length }};
        """,
        width,
    )
    assert found["violations"] == []
    assert found["heat"] > 0  # cells of the matrix were judged
