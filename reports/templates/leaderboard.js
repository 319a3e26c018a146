// A cell's number, of its data where it has some; NaN of a text.
function numberOf(cell) {
  const text = cell.dataset.value ?? cell.textContent.trim();
  return text === "" ? NaN : Number(text);
}

for (const button of document.querySelectorAll("table.sortable th button")) {
  button.addEventListener("click", () => {
    const header = button.closest("th");
    const body = header.closest("table").tBodies[0];
    const column = header.cellIndex;
    const descending = header.getAttribute("aria-sort") === "ascending";
    for (const other of header.parentNode.children) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const compare = (a, b) => {
      const [x, y] = [a.cells[column], b.cells[column]];
      const missing = (cell) => cell.textContent.trim() === "–";
      // Missing values stay last in either direction.
      if (missing(x) || missing(y)) return missing(x) - missing(y);
      const [m, n] = [numberOf(x), numberOf(y)];
      const order = Number.isNaN(m) || Number.isNaN(n)
        ? x.textContent.localeCompare(y.textContent) : m - n;
      return descending ? -order : order;
    };
    body.append(...[...body.rows].sort(compare));
  });
}
