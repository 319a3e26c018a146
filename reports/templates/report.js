const dark = window.matchMedia("(prefers-color-scheme: dark)");
const plots = [...document.querySelectorAll(".plot")];

function colours(isDark) {
  const text = isDark ? "#e4e8ec" : "#1d2329";
  return { "font.color": text, "hoverlabel.font.color": text,
           "hoverlabel.bgcolor": isDark ? "#1c2127" : "#ffffff" };
}
function recolour(isDark) {
  for (const plot of plots) Plotly.relayout(plot, colours(isDark));
}

async function loadPlotly() {
  const packed = document.getElementById("plotly").textContent;
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

// One tab stop a plot; arrow keys lead from button to button.
function asToolbar(plot) {
  const bar = plot.querySelector(".modebar");
  if (!bar) return;
  bar.setAttribute("role", "toolbar");
  bar.setAttribute("aria-label", "Plot tools");
  const buttons = [...bar.querySelectorAll(".modebar-btn")];
  buttons.forEach((button, i) => { button.tabIndex = i ? -1 : 0; });
  bar.onkeydown = (event) => {
    const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!way) return;
    const next = buttons[buttons.indexOf(document.activeElement) + way];
    if (next) next.focus();
  };
}

function addSwitch(plot, focus) {
  const box = plot.parentNode.querySelector(".switch input");
  box.addEventListener("change", () => {
    const change = {};
    for (const [axis, range] of Object.entries(focus)) {
      change[box.checked ? `${axis}.autorange` : `${axis}.range`] = box.checked || [...range];
    }
    Plotly.relayout(plot, change);
  });
}

async function draw() {
  if (plots.length) await loadPlotly();
  for (const plot of plots) {
    const figure = JSON.parse(plot.querySelector("script").textContent);
    // The legend wraps on narrow screens; it gets room of its own instead of the plot's.
    if (plot.clientWidth < 560 && figure.data.length > 4) figure.layout.height += 60;
    Plotly.newPlot(plot, figure.data, figure.layout, {
      responsive: true,
      displaylogo: false,
      displayModeBar: window.matchMedia("(hover: hover)").matches ? "hover" : false,
    });
    plot.on("plotly_afterplot", () => asToolbar(plot));
    asToolbar(plot);
    if (figure.layout.meta && figure.layout.meta.focus) addSwitch(plot, figure.layout.meta.focus);
  }
  recolour(dark.matches);
  dark.addEventListener("change", (event) => recolour(event.matches));
  window.addEventListener("beforeprint", () => recolour(false));
  window.addEventListener("afterprint", () => recolour(dark.matches));
  document.body.dataset.drawn = "yes";
}
draw();

const contents = document.createElement("ul");
for (const heading of document.querySelectorAll("main h2[id]")) {
  const link = document.createElement("a");
  link.href = `#${heading.id}`;
  link.textContent = heading.textContent;
  contents.appendChild(document.createElement("li")).append(link);
}
document.querySelector("nav").append(contents);

function markWide() {
  for (const box of document.querySelectorAll(".wide")) {
    box.classList.toggle("scrolls", box.scrollWidth > box.clientWidth + 1);
  }
}
markWide();
window.addEventListener("resize", markWide);
// A table in a closed box has no width.
for (const box of document.querySelectorAll("details")) box.addEventListener("toggle", markWide);

for (const button of document.querySelectorAll("table.sortable th button")) {
  button.addEventListener("click", () => {
    const header = button.closest("th");
    const body = header.closest("table").tBodies[0];
    const column = header.cellIndex;
    const descending = header.getAttribute("aria-sort") === "ascending";
    for (const other of header.parentNode.children) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const key = (row) => row.cells[column].textContent.trim();
    // A number may be followed by its spread or by /255, but "0a1b-explore-0" is a name.
    const number = (text) => (/^-?[\d.]+(e[-+]?\d+)?([\s/]|$)/.test(text) ? parseFloat(text) : NaN);
    const compare = (a, b) => {
      const [x, y] = [key(a), key(b)];
      const [m, n] = [number(x), number(y)];
      // Missing values stay last in either direction.
      if (x === "–" || y === "–") return (x === "–") - (y === "–");
      const order = Number.isNaN(m) || Number.isNaN(n) ? x.localeCompare(y) : m - n;
      return descending ? -order : order;
    };
    body.append(...[...body.rows].sort(compare));
  });
}
