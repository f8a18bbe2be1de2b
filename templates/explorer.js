"use strict";
/* The precision-recall explorer: one score threshold for curves, counts and gallery, kept in the address. */

const dogcam = {};

(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const percent = (value) => value === null ? "n/a" : `${(100 * value).toFixed(1)}\u202f%`;
  const ratio = (part, whole) => whole > 0 ? part / whole : null;
  /* The dots of methods with one constant score; they share a colour. */
  const DOTS = { centerbox: "spot", cheating_centerbox: "spot hollow" };

  /* The boxes of the main method by descending score, and the counts at any score threshold. */
  class Ranking {
    constructor(points, nObjects) {
      const ranked = [...points].sort((a, b) => b.score - a.score);
      this.scores = ranked.map((point) => point.score);
      this.found = [0];
      for (const point of ranked) this.found.push(this.found.at(-1) + Number(point.correct));
      this.nObjects = nObjects;
    }

    at(threshold) {
      const kept = this.scores.findIndex((score) => score < threshold);
      const n = kept < 0 ? this.scores.length : kept;
      const right = this.found[n];
      const [wrong, missed] = [n - right, this.nObjects - right];
      return {
        threshold, right, wrong, missed,
        precision: ratio(right, n), recall: ratio(right, this.nObjects),
        f1: ratio(2 * right, 2 * right + wrong + missed),
      };
    }
  }

  /* What the reader chose. The address holds only what differs from the page as it opens. */
  class Choice {
    constructor(levels, point, classes) {
      this.levels = levels;
      this.classes = classes;
      this.usual = { score: point, type: "", size: "", class: classes[0] };
      this.value = { ...this.usual };
      this.followers = [];
      this.read();
      addEventListener("hashchange", () => {
        /* A link within the page names a section alone; the choice stays. */
        if (location.hash.includes("=")) this.read();
        else this.write();
        this.tell();
      });
    }

    /* Failures are typed at these thresholds; the operating point is one of them. */
    nearest(score, step = 0) {
      if (Math.abs(score - this.usual.score) <= step / 2) return this.usual.score;
      return this.levels.reduce((best, level) => Math.abs(level - score) < Math.abs(best - score) ? level : best);
    }

    get level() { return this.levels.indexOf(this.value.score); }
    get atPoint() { return this.value.score === this.usual.score; }

    read() {
      const [anchor, ...parts] = location.hash.slice(1).split("&");
      if (anchor.includes("=")) parts.unshift(anchor);
      const given = new URLSearchParams(parts.join("&"));
      const score = Number.parseFloat(given.get("score"));
      this.value = {
        score: score >= 0 && score <= 1 ? this.nearest(score, 0.002) : this.usual.score,
        type: given.get("type") ?? "", size: given.get("size") ?? "", class: this.known(given.get("class")),
      };
      this.target = anchor.includes("=") ? "" : anchor;
    }

    /* The class of an address; the main one for a name that the run does not have. */
    known(name) { return name === "" || this.classes.includes(name) ? name : this.usual.class; }

    change(part) {
      Object.assign(this.value, part);
      this.write();
      this.tell();
    }

    write() {
      const anchor = location.hash.slice(1).split("&")[0];
      const parts = anchor && !anchor.includes("=") ? [anchor] : [];
      for (const [name, value] of Object.entries(this.value)) {
        if (value !== this.usual[name]) parts.push(`${name}=${name === "score" ? value.toFixed(3) : encodeURIComponent(value)}`);
      }
      const wanted = parts.length ? `#${parts.join("&")}` : location.pathname + location.search;
      try { history.replaceState(null, "", wanted); } catch { /* A page in a frame may have no address to keep. */ }
    }

    follow(follower) { this.followers.push(follower); }
    tell() { for (const follower of this.followers) follower(this.value); }

    /* A range input stands for the threshold: the nearest level is chosen. */
    drive(slider) {
      slider.addEventListener("input", () => this.change({ score: this.nearest(Number(slider.value), Number(slider.step)) }));
      this.follow(({ score }) => { slider.value = score; });
    }
  }

  /* A drawing whose axes go from 0 to 1. */
  class Chart {
    constructor(svg) {
      const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
      Object.assign(this, { svg, left: width > 400 ? 72 : 56, top: 10, right: width - 28, bottom: height - 38 });
      const ticks = width > 400 ? [0, 0.2, 0.4, 0.6, 0.8, 1] : [0, 0.5, 1];
      for (const tick of ticks) this.tick(tick);
    }

    x(value) { return +(this.left + value * (this.right - this.left)).toFixed(2); }
    y(value) { return +(this.bottom - value * (this.bottom - this.top)).toFixed(2); }

    add(name, attributes, text = "") {
      const element = document.createElementNS(SVG, name);
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      element.textContent = text;
      this.svg.append(element);
      return element;
    }

    tick(value) {
      const [x, y, words] = [this.x(value), this.y(value), `${Math.round(100 * value)}\u202f%`];
      this.add("path", { class: "gridline", d: `M${x} ${this.top}V${this.bottom}M${this.left} ${y}H${this.right}` });
      this.add("text", { class: "tick", x, y: this.bottom + 16, "text-anchor": "middle" }, words);
      this.add("text", { class: "tick", x: this.left - 6, y: y + 4, "text-anchor": "end" }, words);
    }

    line(look, points) {
      const d = points.map(([x, y], index) => `${index ? "L" : "M"}${this.x(x)} ${this.y(y)}`).join("");
      return this.add("path", { class: look, d });
    }

    dot(look, radius, x = null, y = null) {
      const dot = this.add("circle", { class: look, r: radius });
      this.place(dot, x, y);
      return dot;
    }

    place(dot, x, y) {
      dot.toggleAttribute("hidden", x === null || y === null);
      dot.setAttribute("cx", this.x(x ?? 0));
      dot.setAttribute("cy", this.y(y ?? 0));
    }
  }

  const nameOf = (method) => `m-${method.name.replaceAll("_", "-")}`;

  function drawMethod(chart, method, iou, isMain) {
    const curve = method.curves.find((each) => each.iou === iou);
    if (!curve?.recall.length) return;
    const along = (values) => curve.recall.map((recall, index) => [recall, values[index]]);
    const look = `${nameOf(method)} line`;
    if (method.name in DOTS) {
      chart.dot(`${nameOf(method)} ${DOTS[method.name]}`, 4.5, curve.recall.at(-1), curve.precision.at(-1));
      return;
    }
    const banded = isMain && curve.precision_low?.length && [...curve.precision_low, ...curve.precision_high].every(Number.isFinite);
    if (banded) chart.line(`${nameOf(method)} band`, [...along(curve.precision_low), ...along(curve.precision_high).reverse()]);
    chart.line(look, along(curve.precision));
  }

  /* Scores along the curve, where there is room beside the ring and each other. */
  function labelScores(chart, curve, point) {
    const taken = [[chart.x(point.recall.value ?? -1), chart.y(point.precision.value ?? -1)]];
    for (const tenths of [9, 8, 7, 6, 5, 4, 3, 2, 1]) {
      const index = curve.score.findLastIndex((score) => score >= tenths / 10);
      if (index < 0) continue;
      const here = [chart.x(curve.recall[index]), chart.y(curve.precision[index])];
      if (taken.some(([x, y]) => Math.hypot(here[0] - x, here[1] - y) < 38)) continue;
      taken.push(here);
      chart.dot("score", 2.5, curve.recall[index], curve.precision[index]);
      chart.add("text", { class: "tick", x: here[0], y: here[1] - 9, "text-anchor": "middle" }, (tenths / 10).toFixed(1));
    }
  }

  function explorer(record, choice, place) {
    const point = record.operating_point;
    const methods = record.detection.methods;
    const main = methods.find((each) => each.name === point.method);
    const row = main.rows.find((each) => each.iou === point.iou);
    const ranking = new Ranking(record.detection.points, row.n_ground_truth);
    const charts = all("svg", place).map((svg) => ({
      chart: new Chart(svg), iou: svg.dataset.iou ? Number(svg.dataset.iou) : point.iou, svg,
    }));
    const boxes = all(".methods input", place);
    const [{ chart: large, svg }] = charts;
    let moving;
    const draw = () => {
      const shown = boxes.filter((box) => box.checked).map((box) => box.value);
      for (const { chart, iou, svg: drawing } of charts) {
        for (const old of all(".line, .band, .spot, .score, .ring, .moving, .named, .tick.of", drawing)) old.remove();
        for (const method of methods.filter((each) => shown.includes(each.name) && each !== main)) drawMethod(chart, method, iou, false);
        if (shown.includes(main.name)) drawMethod(chart, main, iou, true);
      }
      const curve = main.curves.find((each) => each.iou === point.iou);
      const before = svg.childElementCount;
      if (curve?.recall.length) labelScores(large, curve, point);
      for (const each of [...svg.children].slice(before)) each.classList.add("of");
      large.dot("ring", 7, point.recall.value, point.precision.value);
      if (point.precision.value !== null) {
        large.add("text", {
          class: "named", x: large.x(point.recall.value) + 11, y: large.y(point.precision.value) - 8,
        }, point.score_threshold.toFixed(3));
      }
      moving = large.dot("moving", 5);
      const now = ranking.at(choice.value.score);
      large.place(moving, now.recall, now.precision);
    };
    for (const box of boxes) {
      box.addEventListener("change", draw);
      if (box.value in DOTS) box.nextElementSibling.className = `sample ${DOTS[box.value]}`;
    }

    const slider = place.querySelector("[type=range]");
    const back = place.querySelector("[data-back]");
    const readout = place.querySelector(".readout");
    const cells = all("[data-measure]", place).map((cell) => ({ cell, stated: [...cell.childNodes] }));
    const spans = all("[data-interval]", place).map((cell) => ({ cell, stated: [...cell.childNodes] }));
    choice.drive(slider);
    back.addEventListener("click", () => {
      choice.change({ score: point.score_threshold });
      slider.focus();
    });
    draw();
    choice.follow(({ score }) => {
      const now = ranking.at(score);
      large.place(moving, now.recall, now.precision);
      back.disabled = choice.atPoint;
      for (const { cell, stated } of cells) {
        const value = cell.dataset.measure === "threshold" ? score : now[cell.dataset.measure];
        const words = cell.dataset.measure === "threshold" ? score.toFixed(3)
          : /right|wrong|missed/.test(cell.dataset.measure) ? String(value) : percent(value);
        cell.dataset.now = value ?? "";
        /* The record's own numbers, with their paths, at the operating point. */
        cell.replaceChildren(...(choice.atPoint ? stated : [words]));
      }
      /* Intervals are in the record at round thresholds. */
      const known = record.detection.thresholds.find((each) => Math.abs(each.score_threshold - score) < 1e-9);
      for (const { cell, stated } of spans) {
        const interval = known?.[cell.dataset.interval]?.interval;
        const words = interval?.low == null || interval.low === interval.high ? "" : readout.dataset.between
          .replace("{low}", (100 * interval.low).toFixed(1)).replace("{high}", percent(interval.high));
        cell.replaceChildren(...(choice.atPoint ? stated : [words]));
      }
      slider.setAttribute("aria-valuetext", readout.dataset.spoken.replace(/\{(\w+)\}/g, (_, name) => ({
        score: score.toFixed(3), precision: percent(now.precision), recall: percent(now.recall),
        right: now.right, wrong: now.wrong, missed: now.missed,
      })[name]));
    });
    place.hidden = false;
    document.querySelector(".static")?.classList.add("replaced");
  }

  document.addEventListener("DOMContentLoaded", () => {
    const text = document.getElementById("record")?.textContent;
    const record = text && JSON.parse(text);
    if (!record?.evidence) return;
    dogcam.record = record;
    const classes = [record.data.target, ...(record.classes?.failures ?? []).map((each) => each.name)];
    dogcam.choice = new Choice(record.evidence.levels, record.operating_point.score_threshold, classes);
    const place = document.querySelector(".explorer");
    if (place) explorer(record, dogcam.choice, place);
  });
})();
