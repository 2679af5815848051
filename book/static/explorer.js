// The explorer's chart: filters the points that the page holds and draws them with plotly. No network, no framework.
(() => {
  "use strict";
  const page = document.getElementById("explorer");
  const { columns, rows, first } = JSON.parse(document.getElementById("explorer-data").textContent);
  const points = rows.map((row) => Object.fromEntries(columns.map((name, i) => [name, row[i]])));
  const choices = ["place", "phase", "memory_format", "dtype", "compile"];
  const select = (name) => document.getElementById(`explorer-${name}`);
  const chart = document.getElementById("explorer-chart");
  const looks = {
    TResNet: { color: "#0072B2", dark: "#56B4E9", symbol: "circle" },
    EfficientNet: { color: "#007A5A", dark: "#2FC79B", symbol: "square" },
    "ResNet50 and others": { color: "#B85C00", dark: "#E69F00", symbol: "triangle-up" },
  };
  const words = (text) => text.replaceAll("_", " ");

  // Each choice offers what exists together with the choices before it, and keeps what was chosen where it can.
  function offer() {
    let left = points;
    for (const name of choices) {
      const values = [...new Set(left.map((p) => p[name]))];
      const before = select(name).value;
      const kept = values.includes(before) ? before : values.includes("eager") ? "eager" : values[0];
      select(name).replaceChildren(...values.map((v) => new Option(words(v), v, v === kept, v === kept)));
      select(name).disabled = values.length < 2;
      left = left.filter((p) => p[name] === kept);
    }
    return left;
  }

  const near = (value) => Number(value.toPrecision(4)).toLocaleString("en");
  const x = (p, scale) => (scale === "ratio" ? p.ratio : p.speed);

  // Plotly reads tags and formulas in its texts.
  const plain = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll("$", () => "&#36;");

  function hover(p) {
    const spread = p.q1 === null ? "" : ` (quartiles ${near(p.q1)} to ${near(p.q3)})`;
    const ratio = p.ratio === null ? "" : `<br>ResNet50 = 1: ${p.ratio.toFixed(3)}`;
    const batch = p.batch === null ? "" : `<br>batch ${p.batch}`;
    return `<b>${plain(p.network)}</b>, ${p.resolution} px<br>${near(p.speed)} img/s${spread}${ratio}${batch}` +
      `<br>${p.kind}: ${plain(p.source)}<br>top-1 ${p.top1.toFixed(1)} % (quoted: ${plain(p.top1_source)})`;
  }

  function front(list, scale) {
    return list
      .filter((p) => !list.some((q) => q !== p && x(q, scale) >= x(p, scale) && q.top1 >= p.top1))
      .sort((a, b) => x(a, scale) - x(b, scale));
  }

  const dark = () => {
    const theme = document.documentElement.dataset.theme;
    return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };

  // What stands beside a point; the others around ResNet50 lie too close together, and tell their names when pointed at.
  const short = (p) => {
    const name = plain(p.network).replace("EfficientNet-", "").replace("TResNet-", "");
    if (p.family === "TResNet") return `${name} ${p.resolution}`;
    return p.family === "EfficientNet" || p.network === "ResNet50" ? name : "";
  };

  function traces(shown, scale) {
    const best = front(shown, scale);
    const drawn = [{
      name: "front of all", x: best.map((p) => x(p, scale)), y: best.map((p) => p.top1), mode: "lines",
      line: { shape: "vh", width: 9, color: dark() ? "rgba(255,255,255,0.18)" : "rgba(0,0,0,0.12)" }, hoverinfo: "skip",
    }];
    for (const [family, look] of Object.entries(looks)) {
      const part = shown.filter((p) => p.family === family);
      if (!part.length) continue;
      const color = dark() ? look.dark : look.color;
      if (family === "EfficientNet") {
        const line = front(part, scale);
        drawn.push({
          x: line.map((p) => x(p, scale)), y: line.map((p) => p.top1), mode: "lines", line: { color, width: 1.5 },
          hoverinfo: "skip", showlegend: false,
        });
      }
      const unit = (p) => x(p, scale) / p.speed;
      drawn.push({
        name: family, x: part.map((p) => x(p, scale)), y: part.map((p) => p.top1), mode: "markers+text",
        text: part.map(short), textposition: family === "TResNet" ? "top right" : "bottom left",
        textfont: { size: 12 }, hovertext: part.map(hover), hoverinfo: "text",
        marker: { color, size: 10, symbol: look.symbol },
        error_x: {
          type: "data", symmetric: false, color, thickness: 1.5,
          array: part.map((p) => (p.q3 === null ? 0 : (p.q3 - p.speed) * unit(p))),
          arrayminus: part.map((p) => (p.q1 === null ? 0 : (p.speed - p.q1) * unit(p))),
        },
      });
    }
    return drawn;
  }

  // 1, 2 and 5 of each power of ten, written out: plotly would write the 2 and 5 alone.
  const ticks = [-3, -2, -1, 0, 1, 2, 3, 4, 5].flatMap((power) => [1, 2, 5].map((n) => n * 10 ** power));

  function layout(scale) {
    const color = getComputedStyle(document.body).color;
    const grid = dark() ? "rgba(255,255,255,0.15)" : "rgba(0,0,0,0.12)";
    const axis = { gridcolor: grid, linecolor: color, zeroline: false, automargin: true };
    const title = scale === "ratio" ? "speed, ResNet50 at 224 px = 1" : "images per second";
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color, size: 13 },
      height: 480, margin: { l: 50, r: 25, t: 10, b: 50 }, hovermode: "closest", dragmode: false,
      legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
      hoverlabel: { align: "left", bgcolor: dark() ? "#222" : "#fff", font: { color } },
      xaxis: { ...axis, type: "log", title: { text: `${title} (right is faster)` },
        tickvals: ticks, ticktext: ticks.map(near) },
      yaxis: { ...axis, title: { text: "top-1, % (quoted)" } },
    };
  }

  function element(tag, text, attributes = {}) {
    const made = document.createElement(tag);
    made.textContent = text;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  }

  function table(shown) {
    const made = element("table", "", { class: "dataframe explorer-table" });
    made.append(element("caption", "The points of the chart, the fastest first"));
    const head = document.createElement("tr");
    for (const name of ["network", "pixels", "img/s", "ResNet50 = 1", "top-1, %", "speed from"])
      head.append(element("th", name, { scope: "col" }));
    made.createTHead().append(head);
    const body = made.createTBody();
    for (const p of [...shown].sort((a, b) => b.speed - a.speed)) {
      const cells = [p.network, p.resolution, near(p.speed), p.ratio === null ? "–" : p.ratio.toFixed(3),
        p.top1.toFixed(1), `${p.kind}: ${p.source}`];
      const line = body.insertRow();
      for (const cell of cells) line.insertCell().textContent = cell;
    }
    return made;
  }

  function draw() {
    const found = offer();
    const scale = select("scale").value;
    const shown = found.filter((p) => x(p, scale) !== null);
    Plotly.react(chart, traces(shown, scale), layout(scale), { responsive: true, displayModeBar: false });
    const left = found.length - shown.length;
    document.getElementById("explorer-told").textContent =
      `${shown.length} networks, ${select("phase").value}, ${select("place").value}.` +
      (left ? ` ResNet50 was not run this way, so ${left} have no ratio: choose images per second.` : "");
    document.getElementById("explorer-points").replaceChildren(table(shown));
  }

  function start() {
    if (typeof Plotly === "undefined") return; // the drawing stays
    select("place").value = first[0];
    select("phase").value = first[1];
    page.classList.add("explorer-live");
    for (const name of [...choices, "scale"]) select(name).addEventListener("change", draw);
    new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    draw();
  }
  start();
})();
