const dark = window.matchMedia("(prefers-color-scheme: dark)");
const plots = [...document.querySelectorAll(".plot")];
const drawn = new Set();
const AHEAD = "800px"; // so far below the window a plot is drawn already

function colours(isDark) {
  const text = isDark ? "#e4e8ec" : "#1d2329";
  return { "font.color": text, "hoverlabel.font.color": text,
           "hoverlabel.bgcolor": isDark ? "#1c2127" : "#ffffff" };
}
function recolour(isDark) {
  for (const plot of drawn) Plotly.relayout(plot, colours(isDark));
}

async function loadPlotly() {
  const packed = document.getElementById("plotly").textContent;
  const letters = atob(packed);
  const bytes = new Uint8Array(letters.length);
  // Uint8Array.from with a function takes 0.3 s longer.
  for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
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

function drawPlot(plot) {
  if (drawn.has(plot)) return;
  drawn.add(plot);
  const script = plot.querySelector("script");
  const figure = JSON.parse(script.textContent);
  script.remove();
  // The legend wraps on narrow screens; it gets room of its own instead of the plot's.
  if (plot.clientWidth < 560 && figure.data.length > 4) figure.layout.height += 60;
  const shade = colours(dark.matches);
  figure.layout.font.color = shade["font.color"];
  figure.layout.hoverlabel = { bgcolor: shade["hoverlabel.bgcolor"], font: { color: shade["font.color"] } };
  withCopies(figure);
  const isParallel = Boolean(figure.layout.meta && figure.layout.meta.rulers);
  Plotly.newPlot(plot, figure.data, figure.layout, {
    responsive: true,
    displaylogo: false,
    modeBarButtonsToRemove: isParallel ? ["lasso2d"] : [],
    displayModeBar: window.matchMedia("(hover: hover)").matches ? "hover" : false,
  });
  plot.on("plotly_afterplot", () => asToolbar(plot));
  asToolbar(plot);
  if (figure.layout.meta && figure.layout.meta.focus) addSwitch(plot, figure.layout.meta.focus);
  const selection = selections.get(plot.closest("main > section"));
  if (selection) selection.attach(plot);
}

// Plots are drawn when they come near the window: the first screen need not wait for the others.
async function draw() {
  if (plots.length) await loadPlotly();
  const near = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      drawPlot(target);
    }
    document.body.dataset.drawn = "yes";
  }, { rootMargin: AHEAD });
  for (const plot of plots) near.observe(plot);
  if (!plots.length) document.body.dataset.drawn = "yes";
  dark.addEventListener("change", (event) => recolour(event.matches));
  window.addEventListener("beforeprint", () => { plots.forEach(drawPlot); recolour(false); });
  window.addEventListener("afterprint", () => recolour(dark.matches));
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
