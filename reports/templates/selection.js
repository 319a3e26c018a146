// Settings that figures, ranges of axes and filters of a section select together. A setting has one
// key in all figures (`customdata`) and tables (`data-key`).
const FAINT = 0.07, AROUND = 0.12;
const everyKey = (traces) => traces.some((trace) => trace.customdata);

class Selection {
  constructor(section) {
    this.form = section.querySelector("form.selection");
    this.rows = [...section.querySelectorAll("tr[data-key]")];
    this.plots = []; // those that are drawn
    this.brushed = new Map(); // plot → Set of the keys that are selected in it
    if (!this.rows.length) return;
    this.form.hidden = false;
    this.form.addEventListener("change", () => this.apply());
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("reset", () => setTimeout(() => this.clear()));
    for (const box of section.querySelectorAll(".ranges")) new Ranges(box, this);
    this.say(null, this.rows.length);
  }

  clear() {
    this.brushed.clear();
    for (const plot of this.plots) if (plot.ranges) plot.ranges.reset();
    this.apply();
  }

  brush(plot, keys) {
    if (keys) this.brushed.set(plot, keys);
    else this.brushed.delete(plot);
    this.apply();
  }

  // The rows that the filters leave, and the keys of them that are in every brush.
  apply() {
    const filters = [...this.form.elements].filter((field) => field.tagName === "SELECT" && field.value);
    const left = this.rows.filter((row) => filters.every((f) => row.dataset[f.name] === f.value));
    let chosen = null;
    if (filters.length || this.brushed.size) {
      chosen = new Set(left.map((row) => row.dataset.key));
      for (const keys of this.brushed.values()) {
        for (const key of chosen) if (!keys.has(key)) chosen.delete(key);
      }
    }
    const shown = new Set(left.filter((row) => !chosen || chosen.has(row.dataset.key)));
    for (const row of this.rows) row.hidden = !shown.has(row);
    this.chosen = chosen;
    this.say(chosen, shown.size);
    for (const plot of this.plots) mark(plot, chosen);
  }

  say(chosen, rows) {
    const settings = chosen ? `, ${chosen.size} setting${chosen.size === 1 ? "" : "s"}` : "";
    this.form.querySelector("output").textContent = `${rows} of ${this.rows.length} trials${settings}`;
    this.form.classList.toggle("active", chosen !== null);
  }

  // Links a plot that has just been drawn.
  attach(plot) {
    if (!this.rows.length || !everyKey(plot.data)) return;
    this.plots.push(plot);
    plot.on("plotly_selected", (event) => {
      if (!event || !(event.range || event.lassoPoints)) return;
      Plotly.relayout(plot, { selections: [] }); // what is selected is marked, not how
      if (plot.ranges && event.range) plot.ranges.take(event.range);
      else this.brush(plot, new Set(event.points.map((point) => point.customdata)));
    });
    plot.on("plotly_deselect", () => (plot.ranges ? plot.ranges.reset() : null, this.brush(plot, null)));
    if (plot.ranges) plot.ranges.read(plot);
    if (this.chosen) mark(plot, this.chosen);
  }
}

// Every line of settings has a copy above it, which shows those that are selected.
function withCopies(figure) {
  const lines = figure.data.filter((trace) => trace.customdata && trace.mode === "lines");
  for (const line of lines) {
    figure.data.push({ ...line, x: [], y: [], customdata: [], opacity: 1, copyOf: figure.data.indexOf(line),
                       line: { ...line.line, width: line.line.width + 1 }, showlegend: false });
  }
}

// Shows the chosen settings of a plot and dims the others; null shows all alike.
function mark(plot, chosen) {
  const dots = [], selected = [], lines = [], opacities = [], copies = [], xs = [], ys = [];
  plot.data.forEach((trace, index) => {
    if (trace.copyOf !== undefined) {
      const whole = plot.data[trace.copyOf];
      const kept = whole.customdata.map((key) => chosen !== null && chosen.has(key));
      const [x, y] = [whole.x, whole.y].map(numbers);
      copies.push(index);
      xs.push(kept.map((keep, i) => (keep ? x[i] : null)));
      ys.push(kept.map((keep, i) => (keep ? y[i] : null)));
    } else if (trace.customdata && trace.mode === "lines") {
      if (trace.own === undefined) trace.own = trace.opacity ?? 1;
      lines.push(index);
      opacities.push(chosen ? FAINT : trace.own);
    } else if (trace.customdata) {
      dots.push(index);
      selected.push(chosen && trace.customdata.flatMap((key, i) => (chosen.has(key) ? [i] : [])));
    }
  });
  if (dots.length) Plotly.restyle(plot, { selectedpoints: selected }, dots);
  if (lines.length) Plotly.restyle(plot, { opacity: opacities }, lines);
  if (copies.length) Plotly.restyle(plot, { x: xs, y: ys }, copies);
}

// Plain numbers; plotly keeps long columns as packed bytes beside a decoded copy.
const numbers = (column) => Array.from(column._inputArray ?? column);

// The ranges of parallel axes, beside the plot and in it: places from 0 to 1 on each axis.
class Ranges {
  constructor(box, selection) {
    this.plot = box.parentNode.querySelector(".plot");
    this.plot.ranges = this;
    this.selection = selection;
    this.fields = [...box.querySelectorAll("fieldset")];
    for (const field of this.fields) {
      field.addEventListener("input", () => this.apply());
      field.addEventListener("change", (event) => event.stopPropagation());
    }
  }

  // Where each setting lies on the axes, and what the axes say.
  read(plot) {
    this.rulers = plot.layout.meta.rulers;
    this.places = new Map();
    for (const trace of plot.data) {
      if (!trace.customdata || trace.mode !== "markers") continue;
      const [x, y] = [trace.x, trace.y].map(numbers);
      trace.customdata.forEach((key, i) => {
        if (!this.places.has(key)) this.places.set(key, []);
        if (Number.isFinite(y[i])) this.places.get(key)[x[i]] = y[i];
      });
    }
    this.show();
  }

  ends() {
    return this.fields.map((field) => {
      const [a, b] = [...field.querySelectorAll("input")].map((input) => Number(input.value));
      return [Math.min(a, b), Math.max(a, b)];
    });
  }

  set(axis, low, high) {
    const [from, to] = this.fields[axis].querySelectorAll("input");
    from.value = Math.max(0, low);
    to.value = Math.min(1, high);
  }

  reset() {
    this.fields.forEach((_, axis) => this.set(axis, 0, 1));
    this.show();
  }

  // A box of the plot narrows the axes that it covers.
  take({ x, y }) {
    this.fields.forEach((_, axis) => {
      if (axis >= Math.min(...x) && axis <= Math.max(...x)) this.set(axis, Math.min(...y), Math.max(...y));
    });
    this.apply();
  }

  apply() {
    const narrowed = this.show();
    const inside = ([axis, low, high], places) => places[axis] >= low - 1e-6 && places[axis] <= high + 1e-6;
    const keys = [...this.places].filter(([, places]) => narrowed.every((end) => inside(end, places)));
    this.selection.brush(this.plot, narrowed.length ? new Set(keys.map(([key]) => key)) : null);
  }

  // Says the ranges in the units of the axes, and draws them; the axes that are narrowed.
  show() {
    const narrowed = [];
    this.ends().forEach(([low, high], axis) => {
      const ruler = this.rulers[axis];
      const texts = [low, high].map((place) => valueAt(ruler, place));
      const text = low <= 0 && high >= 1 ? "any" : `${texts[0]} to ${texts[1]}`;
      this.fields[axis].querySelector("output").textContent = text;
      this.fields[axis].querySelectorAll("input").forEach((input) => {
        input.setAttribute("aria-valuetext", valueAt(ruler, Number(input.value)));
      });
      if (low > 0 || high < 1) narrowed.push([axis, low, high]);
    });
    Plotly.relayout(this.plot, { shapes: narrowed.map(([axis, low, high]) => ({
      type: "rect", x0: axis - AROUND, x1: axis + AROUND, y0: low, y1: high,
      fillcolor: "rgba(127,127,127,0.3)", line: { width: 1, color: "rgb(127,127,127)" },
    })) });
    return narrowed;
  }
}

// What an axis says at a place: a choice, or a number with three digits.
function valueAt({ low, high, is_log, choices, unit }, place) {
  if (choices.length) return choices[Math.round(place * (choices.length - 1))];
  const value = is_log ? low * (high / low) ** place : low + place * (high - low);
  return `${Number(value.toPrecision(3))}${unit}`;
}

const selections = new Map([...document.querySelectorAll("main > section")].map(
  (section) => [section, new Selection(section)]));
