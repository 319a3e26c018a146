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
for (const plot of plots) {
  const figure = JSON.parse(plot.querySelector("script").textContent);
  // The legend wraps on narrow screens; it gets room of its own instead of the plot's.
  if (plot.clientWidth < 560 && figure.data.length > 4) figure.layout.height += 60;
  Plotly.newPlot(plot, figure.data, figure.layout, {
    responsive: true,
    displaylogo: false,
    displayModeBar: window.matchMedia("(hover: hover)").matches ? "hover" : false,
  });
}
recolour(dark.matches);
dark.addEventListener("change", (event) => recolour(event.matches));
window.addEventListener("beforeprint", () => recolour(false));
window.addEventListener("afterprint", () => recolour(dark.matches));

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
    const number = (text) => (/^-?[\d.]+(e[-+]?\d+)?([ /]|$)/.test(text) ? parseFloat(text) : NaN);
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
