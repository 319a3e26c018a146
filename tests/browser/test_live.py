"""The page that ``saat report --live`` serves: it reloads itself, and stays where the reader is."""

from importlib import resources
from pathlib import Path

import pytest

from tests.browser.devtools import CHROMIUM
from tests.browser.pages import DRAWN, IS_DRAWN, ask, opened

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium")

# What the server would answer: first this version; a newer one when the page has been scrolled.
ANSWERS = """<script>
  window.fetch = async (name) => {
    const again = sessionStorage.getItem("again");
    const version = again || !window.scrolled ? 1 : 2;
    return { json: async () => ({ version, ended: Boolean(again) && ENDED }) };
  };
</script>"""


def live(content: str, ended: str = "true") -> str:
    """The page as it is served, with a server that is played."""
    script = (resources.files("reports") / "templates" / "live.js").read_text(encoding="utf-8")
    served = f'{ANSWERS.replace("ENDED", ended)}<script data-version="1">{script}</script></body>'
    return content.replace("</body>", served)


PLACE = 'document.querySelector("#table-trials").getBoundingClientRect().top'
SCROLL = f"""
  document.querySelector("#table-trials").scrollIntoView();
  window.scrollBy(0, 150);
  await new Promise((resolve) => setTimeout(resolve, 500));
  addEventListener("pagehide", () => sessionStorage.setItem("again", {PLACE}));
  window.scrolled = true;
"""
RELOADED = f"""
  await new Promise((resolve) => setTimeout(resolve, 1000));
  return {{ before: Number(sessionStorage.getItem("again")), after: {PLACE},
           said: document.querySelector("header [role=status]").textContent }};
"""


def test_the_page_loads_a_newer_version_where_the_reader_is(content: str, folder: Path) -> None:
    with opened(live(content), folder) as tab:
        tab.run(SCROLL)
        tab.wait(f"sessionStorage.getItem('again') && !window.scrolled && {IS_DRAWN}")
        found = tab.run(RELOADED)
    assert found["after"] == pytest.approx(found["before"], abs=3)
    assert found["before"] < -100
    assert found["said"] == "The search has ended; this is its last version."


def test_a_selection_is_not_lost_to_a_newer_version(content: str, folder: Path) -> None:
    said, rows = ask(live(content), folder, f"""{DRAWN}
      const form = document.querySelector("form.selection");
      form.elements.status.value = "stopped";
      form.elements.status.dispatchEvent(new Event("change", {{ bubbles: true }}));
      window.scrolled = true;
      await new Promise((resolve) => setTimeout(resolve, 4000));
      return [document.querySelector("header [role=status]").textContent,
              form.querySelector("output").textContent];
    """)  # fmt: skip
    assert said.startswith("Live: there are newer results")
    assert rows == "5 of 30 trials, 5 settings"
