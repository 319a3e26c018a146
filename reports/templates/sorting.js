// A click on the head of a column sorts its table, a second one the other way round.

// The number of a cell: its data's, or the one that its text begins with. That may be followed by its
// spread or by /255, but "0a1b-explore-0" is a name. NaN of other text.
function numberOf(cell) {
  if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
  const text = textOf(cell);
  return /^-?[\d.]+(e[-+]?\d+)?([\s/]|$)/.test(text) ? parseFloat(text) : NaN;
}
const textOf = (cell) => cell.textContent.trim();

for (const button of document.querySelectorAll("table.sortable th button")) {
  button.addEventListener("click", () => {
    const header = button.closest("th");
    const body = header.closest("table").tBodies[0];
    const column = header.cellIndex;
    const descending = header.getAttribute("aria-sort") === "ascending";
    for (const other of header.parentNode.children) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const compare = (a, b) => {
      const [x, y] = [textOf(a.cells[column]), textOf(b.cells[column])];
      const [m, n] = [numberOf(a.cells[column]), numberOf(b.cells[column])];
      // Missing values stay last in either direction.
      if (x === "–" || y === "–") return (x === "–") - (y === "–");
      const order = Number.isNaN(m) || Number.isNaN(n) ? x.localeCompare(y) : m - n;
      return descending ? -order : order;
    };
    body.append(...[...body.rows].sort(compare));
  });
}
