// Time series: uPlot with our colours, one cursor and one zoom for all charts of a group, new points as they arrive.
import uPlot from "uplot";
import { listen } from "./stream.ts";
import { moment, quantity, word } from "./text.ts";

interface Mark {
  since: number;
  until: number;
  state: string;
}
interface Spec {
  key: string;
  title: string;
  src: string;
  unit: string;
  kind: "line" | "area" | "stack";
  group: string;
  live: string;
  low: number | null;
  high: number | null;
  height: number;
  marks: Mark[];
  words: Record<string, string>;
}
interface Answer {
  times: number[];
  series: { label: string; values: (number | null)[] }[];
  since_ms?: number;
  until_ms?: number;
}
interface Tick {
  time: number;
  charts: Record<string, Record<string, number | null>>;
}
type Column = (number | null)[];

const SHAPES = [[], [6, 3], [2, 3], [9, 3, 2, 3]];
const COLOURS = 8;
// Bytes are counted in powers of two, and so are the lines of their scale.
const BINARY_STEPS = Array.from({ length: 56 }, (_, power) => 2 ** power);
const ZOOM_MINIMUM_SECONDS = 20;
const MARK_PIXELS = 4;

function colour(name: string, of: Element): string {
  return getComputedStyle(of).getPropertyValue(name).trim();
}

const groups = new Map<string, Chart[]>();

class Chart {
  readonly spec: Spec;
  private readonly plot: HTMLElement;
  private readonly legend: HTMLElement;
  private readonly note: HTMLElement;
  private times: number[] = [];
  private labels: string[] = [];
  private columns: Column[] = [];
  private hidden = new Set<string>();
  private view: uPlot | undefined;
  private span: [number, number] | undefined;
  zoomed = false;

  constructor(private readonly figure: HTMLElement) {
    this.spec = JSON.parse(figure.dataset["chart"] ?? "{}") as Spec;
    this.plot = figure.querySelector<HTMLElement>(".plot")!;
    this.legend = figure.querySelector<HTMLElement>(".legend")!;
    this.note = document.createElement("span");
    this.note.className = "muted";
    figure.querySelector("figcaption")?.append(this.note);
    groups.set(this.spec.group, [...(groups.get(this.spec.group) ?? []), this]);
    new ResizeObserver(() => this.resize()).observe(this.plot);
  }

  show(answer: Answer): void {
    this.times = answer.times.map((time) => time / 1000);
    this.labels = answer.series.map((series) => series.label);
    this.columns = answer.series.map((series) => [...series.values]);
    if (answer.since_ms && answer.until_ms) this.span = [answer.since_ms / 1000, answer.until_ms / 1000];
    this.redraw();
  }

  leaveOut(empty: boolean): void {
    this.figure.hidden = empty;
  }

  fail(): void {
    this.say(word("chart_failed"));
  }

  private say(text: string): void {
    this.plot.removeAttribute("aria-busy");
    this.view?.destroy();
    this.view = undefined;
    const message = document.createElement("p");
    message.className = "message";
    message.textContent = text;
    this.plot.replaceChildren(message);
    this.legend.replaceChildren();
  }

  append(time: number, values: Record<string, number | null>): void {
    const last = this.times.at(-1) ?? 0;
    if (time / 1000 <= last) return;
    if (!this.labels.length) {
      this.labels = Object.keys(values);
      this.columns = this.labels.map(() => []);
    }
    this.times.push(time / 1000);
    this.columns.forEach((column, index) => column.push(values[this.labels[index]!] ?? null));
    if (this.span) {
      const moved = time / 1000 - this.span[1];
      if (moved > 0) this.span = [this.span[0] + moved, this.span[1] + moved];
      const first = this.span[0];
      while (this.times.length > 2 && this.times[1]! < first) {
        this.times.shift();
        for (const column of this.columns) column.shift();
      }
    }
    if (!this.view) this.draw();
    else {
      this.view.setData(this.data(), false);
      if (!this.zoomed && this.span) this.view.setScale("x", { min: this.span[0], max: this.span[1] });
      else this.view.redraw();
      this.tell(null);
    }
  }

  zoom(min: number, max: number): void {
    if (max - min < ZOOM_MINIMUM_SECONDS) return;
    this.zoomed = true;
    this.view?.setScale("x", { min, max });
  }

  reset(): void {
    this.zoomed = false;
    const first = this.times[0];
    const last = this.times.at(-1);
    const span = this.span ?? (first !== undefined && last !== undefined ? [first, last] : undefined);
    if (span) this.view?.setScale("x", { min: span[0]!, max: span[1]! });
  }

  private shown(): number[] {
    return this.labels.map((_, index) => index).filter((index) => !this.hidden.has(this.labels[index]!));
  }

  private data(): uPlot.AlignedData {
    const columns: Column[] = this.columns.map((column) => column);
    if (this.spec.kind === "stack") {
      const total: number[] = new Array<number>(this.times.length).fill(0);
      for (const index of this.shown()) {
        columns[index] = this.columns[index]!.map((value, at) => (value === null ? null : (total[at] = total[at]! + value)));
      }
      // The tallest is painted first, so that each lower one lies before it.
      return [this.times, ...columns.slice().reverse()] as uPlot.AlignedData;
    }
    return [this.times, ...columns] as uPlot.AlignedData;
  }

  private draw(): void {
    this.view?.destroy();
    this.view = undefined;
    this.plot.removeAttribute("aria-busy");
    if (!this.times.length || !this.labels.length) {
      this.say(word("no_data"));
      return;
    }
    this.plot.replaceChildren();
    this.view = new uPlot(this.options(), this.data(), this.plot);
    this.reset();
    this.tell(null);
  }

  private series(): uPlot.Series[] {
    const order = this.labels.map((_, index) => index);
    if (this.spec.kind === "stack") order.reverse();
    return order.map((index) => {
      const stroke = colour(`--c${(index % COLOURS) + 1}`, this.figure);
      const fill = this.spec.kind === "stack" ? mixed(stroke, colour("--surface", this.figure), 0.5) : this.spec.kind === "area" ? `${stroke}1f` : "";
      return {
        label: this.labels[index]!,
        stroke,
        width: 1.4,
        show: !this.hidden.has(this.labels[index]!),
        dash: this.spec.kind === "line" ? SHAPES[Math.floor(index / COLOURS) % SHAPES.length]! : [],
        points: { show: false },
        ...(fill ? { fill } : {}),
      };
    });
  }

  private options(): uPlot.Options {
    const { spec } = this;
    const faint = colour("--faint", this.figure);
    const grid = { stroke: colour("--line", this.figure), width: 1 };
    const font = `11px ${colour("--font", this.figure)}`;
    const low = spec.low;
    const high = spec.high;
    return {
      width: Math.max(this.plot.clientWidth, 120),
      height: spec.height,
      padding: [8, 14, 0, 0],
      legend: { show: false },
      cursor: {
        sync: { key: spec.group },
        // A height means nothing to the other charts of the group.
        y: false,
        points: { size: 6, width: 1.5 },
        drag: { x: true, y: false, setScale: false },
        bind: { dblclick: () => () => (resetGroup(spec.group), null) },
      },
      scales: {
        x: { time: true },
        y: {
          range: (_view, min, max) => {
            const bottom = low ?? min ?? 0;
            const top = high ?? (max > bottom ? bottom + (max - bottom) * 1.08 : bottom + 1);
            return [Math.min(bottom, min ?? bottom), Math.max(top, max ?? top)];
          },
        },
      },
      axes: [
        { stroke: faint, grid: { show: false }, ticks: { show: false }, font, size: 26, gap: 4, values: (_view, splits) => axisTimes(splits) },
        { stroke: faint, grid, ticks: { show: false }, font, size: 62, ...(spec.unit.startsWith("bytes") ? { incrs: BINARY_STEPS } : {}), gap: 4, values: (_view, splits) => splits.map((value) => quantity(value, spec.unit)) },
      ],
      series: [{}, ...this.series()],
      hooks: {
        setCursor: [(view) => this.tell(view.cursor.idx ?? null)],
        setSelect: [
          (view) => {
            if (view.select.width < 4) return;
            const min = view.posToVal(view.select.left, "x");
            const max = view.posToVal(view.select.left + view.select.width, "x");
            view.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            for (const chart of groups.get(spec.group) ?? []) chart.zoom(min, max);
            document.dispatchEvent(new CustomEvent("zoomed"));
          },
        ],
        drawClear: [(view) => this.paintMarks(view)],
      },
    };
  }

  private paintMarks(view: uPlot): void {
    for (const mark of this.spec.marks) {
      const left = Math.max(view.valToPos(mark.since / 1000, "x", true), view.bbox.left);
      const right = Math.min(view.valToPos(mark.until / 1000, "x", true), view.bbox.left + view.bbox.width);
      if (right <= view.bbox.left || left >= view.bbox.left + view.bbox.width) continue;
      view.ctx.fillStyle = colour(mark.state === "down" ? "--down" : "--degraded", this.figure);
      // A band above the plot: when something was wrong must not hide what the lines did.
      const height = MARK_PIXELS * devicePixelRatio;
      view.ctx.fillRect(left, view.bbox.top - height, Math.max(right - left, 1), height);
    }
  }

  private tell(index: number | null): void {
    const at = index ?? this.times.length - 1;
    const time = this.times[at];
    this.note.textContent = index !== null && time !== undefined ? moment(time, true) : "";
    const buttons = this.legend.children;
    if (buttons.length !== this.labels.length) this.buildLegend();
    this.labels.forEach((label, position) => {
      const value = this.legend.children[position]?.querySelector("b");
      if (value) value.textContent = quantity(this.columns[position]?.[at], this.spec.unit);
      this.legend.children[position]?.setAttribute("aria-pressed", String(!this.hidden.has(label)));
    });
  }

  // A line's name in the page's language: the whole of it, or its last word as in "eth0 in".
  private told(label: string): string {
    const { words } = this.spec;
    const last = label.lastIndexOf(" ") + 1;
    return words[label] ?? label.slice(0, last) + (words[label.slice(last)] ?? label.slice(last));
  }

  private buildLegend(): void {
    this.legend.replaceChildren(
      ...this.labels.map((label, index) => {
        const button = document.createElement("button");
        button.type = "button";
        button.append(swatch(colour(`--c${(index % COLOURS) + 1}`, this.figure), Math.floor(index / COLOURS)), this.told(label), " ", document.createElement("b"));
        button.addEventListener("click", () => this.toggle(label));
        return button;
      }),
    );
  }

  private toggle(label: string): void {
    if (!this.hidden.delete(label)) this.hidden.add(label);
    this.redraw();
  }

  // As it is looked at: the zoom stays.
  private redraw(): void {
    const zoomed = this.zoomed && this.view ? { ...this.view.scales["x"]! } : undefined;
    this.draw();
    if (zoomed?.min != null && zoomed.max != null) this.zoom(zoomed.min, zoomed.max);
  }

  private resize(): void {
    if (this.view && this.plot.clientWidth) this.view.setSize({ width: this.plot.clientWidth, height: this.spec.height });
  }

  repaint(): void {
    this.legend.replaceChildren();
    if (this.times.length) this.draw();
  }
}

// Opaque, as each lower area of a stack is painted over the ones above it.
function mixed(one: string, other: string, share: number): string {
  const parts = (text: string): number[] => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
  const second = parts(other);
  return `rgb(${parts(one).map((value, at) => Math.round(value * share + second[at]! * (1 - share))).join(" ")})`;
}

function swatch(fill: string, shape: number): SVGElement {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("width", "12");
  svg.setAttribute("height", "8");
  const line = document.createElementNS(space, "path");
  line.setAttribute("d", "M0 4h12");
  line.setAttribute("stroke", fill);
  line.setAttribute("stroke-width", "3");
  line.setAttribute("stroke-dasharray", (SHAPES[shape % SHAPES.length] ?? []).join(" "));
  svg.append(line);
  return svg;
}

function axisTimes(splits: number[]): string[] {
  const wide = (splits.at(-1) ?? 0) - (splits[0] ?? 0) > 36 * 3600;
  return splits.map((time) => {
    const full = moment(time, wide);
    return wide ? full.replace(/[, ]*\d{2}[:.]\d{2}[:.]\d{2}$/, "") : full.slice(0, 5);
  });
}

function resetGroup(group: string): void {
  for (const chart of groups.get(group) ?? []) chart.reset();
}

// Charts that name the same source share one request: the answer then holds {"charts": {key: …}}.
async function load(charts: Chart[]): Promise<void> {
  const bySource = new Map<string, Chart[]>();
  for (const chart of charts) bySource.set(chart.spec.src, [...(bySource.get(chart.spec.src) ?? []), chart]);
  await Promise.all([...bySource].map(([source, members]) => loadSource(source, members)));
}

async function loadSource(source: string, members: Chart[]): Promise<void> {
  try {
    const response = await fetch(source, { headers: { Accept: "application/json" } });
    if (!response.ok) throw new Error(String(response.status));
    const answer = (await response.json()) as Answer & { charts?: Record<string, Answer> };
    const any = Object.values(answer.charts ?? {}).some((one) => one.series.length > 0);
    for (const chart of members) {
      // What this host does not have, such as swap, is left out.
      chart.leaveOut(any && !answer.charts?.[chart.spec.key]?.series.length);
      const own = answer.charts ? answer.charts[chart.spec.key] : answer;
      chart.show(own ?? { times: [], series: [] });
    }
  } catch {
    for (const chart of members) chart.fail();
  }
}

function follow(charts: Chart[]): void {
  for (const address of new Set(charts.map((chart) => chart.spec.live).filter(Boolean))) {
    const members = charts.filter((chart) => chart.spec.live === address);
    function tick(data: string): void {
      const points = JSON.parse(data) as Tick;
      for (const chart of members) {
        const values = points.charts[chart.spec.key];
        if (values) chart.append(points.time, values);
      }
    }
    // Points that came while nobody listened are in the store.
    listen(address, { tick }, () => void load(members), true);
  }
}

const charts = [...document.querySelectorAll<HTMLElement>("[data-chart]")].map((figure) => new Chart(figure));
const whole = document.querySelector<HTMLButtonElement>("[data-zoom-reset]");
whole?.addEventListener("click", () => {
  for (const group of groups.keys()) resetGroup(group);
  whole.hidden = true;
});
document.addEventListener("zoomed", () => {
  if (whole) whole.hidden = false;
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const chart of charts) chart.repaint();
});
void load(charts).then(() => follow(charts));
