// On a page that `saat report --live` serves: loads the next version when it is there, at the place
// where the reader is. While settings are selected the page stays, so that nothing is lost.
(() => {
  const version = Number(document.currentScript.dataset.version);
  const PLACE = "saat-live-place", EVERY = 3000;
  const note = document.createElement("p");
  note.className = "note";
  note.setAttribute("role", "status");
  document.querySelector("header").append(note);
  const say = (text) => { if (note.textContent !== text) note.textContent = text; };

  // The last part that begins above the window's upper edge, and how far above.
  function keepPlace() {
    let place = null;
    for (const part of document.querySelectorAll("main [id]")) {
      const { top, height } = part.getBoundingClientRect();
      if (height && top <= 1) place = { id: part.id, top };
    }
    sessionStorage.setItem(PLACE, JSON.stringify(place ?? { top: -window.scrollY }));
  }
  function takePlace() {
    const place = JSON.parse(sessionStorage.getItem(PLACE) ?? "null");
    sessionStorage.removeItem(PLACE);
    if (!place) return;
    const part = place.id ? document.getElementById(place.id) : document.body;
    if (part) window.scrollBy(0, part.getBoundingClientRect().top - place.top);
  }
  history.scrollRestoration = "manual";
  takePlace();

  async function look() {
    let found;
    try {
      found = await (await fetch("live.json", { cache: "no-store" })).json();
    } catch {
      say("No longer live: saat report --live has ended.");
      return;
    }
    if (found.version !== version) {
      if (!document.querySelector("form.selection.active")) {
        keepPlace();
        location.reload();
        return;
      }
      say("Live: there are newer results. They are shown after a reset of the selection.");
    } else if (found.ended) {
      say("The search has ended; this is its last version.");
      return;
    } else {
      say("Live: the page follows the search.");
    }
    setTimeout(look, EVERY);
  }
  look();
})();
