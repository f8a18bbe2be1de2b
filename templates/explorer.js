"use strict";
/* The score threshold as something to move: a point on the curve, counts that follow, a gallery that follows.
   What is chosen stands in the address, behind the section's name, so that a link shows what its sender saw. */

(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const percent = (value) => value === null ? "n/a" : `${(100 * value).toFixed(1)}\u202f%`;
  const ratio = (part, whole) => whole > 0 ? part / whole : null;

  /* The boxes of the main method, ranked; what keeping those from a score upwards comes to. */
  class Ranking {
    constructor(points, nObjects) {
      const ranked = [...points].sort((a, b) => b.score - a.score);
      this.scores = ranked.map((point) => point.score);
      this.found = [0];
      for (const point of ranked) this.found.push(this.found.at(-1) + Number(point.correct));
      this.nObjects = nObjects;
    }

    at(threshold) {
      let [low, high] = [0, this.scores.length];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (this.scores[middle] >= threshold) low = middle + 1;
        else high = middle;
      }
      const right = this.found[low];
      const [wrong, missed] = [low - right, this.nObjects - right];
      return {
        threshold, right, wrong, missed,
        precision: ratio(right, low),
        recall: ratio(right, this.nObjects),
        f1: ratio(2 * right, 2 * right + wrong + missed),
      };
    }
  }

  /* What the reader chose. The address holds only what differs from the page as it opens. */
  class Choice {
    constructor(usual) {
      this.usual = usual;
      this.value = { ...usual };
      this.followers = [];
      this.read();
      addEventListener("hashchange", () => {
        /* A link within the page names a section alone; what was chosen stays chosen. */
        if (location.hash.includes("=")) this.read();
        else this.write();
        this.tell();
      });
    }

    read() {
      const [anchor, ...parts] = location.hash.slice(1).split("&");
      if (anchor.includes("=")) parts.unshift(anchor);
      const given = new URLSearchParams(parts.join("&"));
      const score = Number.parseFloat(given.get("score"));
      this.value = {
        score: score >= 0 && score <= 1 ? score : this.usual.score,
        kind: given.get("kind") ?? this.usual.kind,
        size: given.get("size") ?? this.usual.size,
      };
      this.target = anchor.includes("=") ? "" : anchor;
    }

    change(part) {
      Object.assign(this.value, part);
      this.write();
      this.tell();
    }

    write() {
      const anchor = location.hash.slice(1).split("&")[0];
      const parts = anchor && !anchor.includes("=") ? [anchor] : [];
      for (const [name, value] of Object.entries(this.value)) {
        if (value !== this.usual[name]) parts.push(`${name}=${name === "score" ? value.toFixed(3) : value}`);
      }
      const wanted = parts.length ? `#${parts.join("&")}` : location.pathname + location.search;
      try { history.replaceState(null, "", wanted); } catch { /* A page in a frame may have no address to keep. */ }
    }

    follow(follower) { this.followers.push(follower); }
    tell() { for (const follower of this.followers) follower(this.value); }
  }

  /* A drawing in fractions: both axes from nought to one. */
  class Chart {
    constructor(svg) {
      const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
      Object.assign(this, { svg, left: 44, top: 10, right: width - 12, bottom: height - 40 });
      for (const tick of [0, 0.2, 0.4, 0.6, 0.8, 1]) this.tick(tick);
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
      const [x, y] = [this.x(value), this.y(value)];
      this.add("path", { class: "grid", d: `M${x} ${this.top}V${this.bottom}M${this.left} ${y}H${this.right}` });
      this.add("text", { class: "tick", x, y: this.bottom + 17, "text-anchor": "middle" }, String(value));
      this.add("text", { class: "tick", x: this.left - 8, y: y + 4, "text-anchor": "end" }, String(value));
    }

    path(points) {
      return points.map(([x, y], index) => `${index ? "L" : "M"}${this.x(x)} ${this.y(y)}`).join("");
    }

    line(look, points) { return this.add("path", { class: look, d: this.path(points) }); }
    dot(look, radius) { return this.add("circle", { class: look, r: radius }); }

    place(dot, x, y) {
      dot.toggleAttribute("hidden", x === null || y === null);
      dot.setAttribute("cx", this.x(x ?? 0));
      dot.setAttribute("cy", this.y(y ?? 0));
    }
  }

  function drawCurve(chart, curve, point) {
    const along = (values) => curve.recall.map((recall, index) => [recall, values[index]]);
    const banded = curve.precision_low?.length && [...curve.precision_low, ...curve.precision_high].every(Number.isFinite);
    if (banded) chart.line("band", [...along(curve.precision_low), ...along(curve.precision_high).reverse()]);
    chart.line("curve", along(curve.precision));
    labelScores(chart, curve);
    chart.place(chart.dot("ring", 7), point.recall.value, point.precision.value);
    return chart.dot("moving", 5);
  }

  /* The score along the curve, where there is room for it. */
  function labelScores(chart, curve) {
    let last = null;
    for (const tenths of [9, 8, 7, 6, 5, 4, 3, 2, 1]) {
      const index = curve.score.findLastIndex((score) => score >= tenths / 10);
      if (index < 0) continue;
      const here = [chart.x(curve.recall[index]), chart.y(curve.precision[index])];
      if (last && Math.hypot(here[0] - last[0], here[1] - last[1]) < 34) continue;
      last = here;
      chart.place(chart.dot("score", 2.5), curve.recall[index], curve.precision[index]);
      chart.add("text", { class: "tick", x: here[0], y: here[1] - 9, "text-anchor": "middle" }, (tenths / 10).toFixed(1));
    }
  }

  function drawMeasures(chart, ranking) {
    const stops = [...Array(101).keys()].map((step) => step / 100);
    for (const measure of ["precision", "recall", "f1"]) {
      const points = stops.map((score) => [score, ranking.at(score)[measure]]).filter(([, value]) => value !== null);
      if (points.length) chart.line(measure, points);
    }
    const cursor = chart.add("path", { class: "cursor", d: `M0 ${chart.top}V${chart.bottom}` });
    return (score) => cursor.setAttribute("transform", `translate(${chart.x(score)} 0)`);
  }

  function explorer(record, choice) {
    const place = document.querySelector(".explorer");
    const point = record.operating_point;
    const method = record.detection.methods.find((each) => each.name === point.method);
    const curve = method.curves.find((each) => each.iou === point.iou);
    const row = method.rows.find((each) => each.iou === point.iou);
    const ranking = new Ranking(record.detection.points, row.n_ground_truth);
    const [first, second] = all("svg", place).map((svg) => new Chart(svg));
    const moving = drawCurve(first, curve, point);
    const moveCursor = drawMeasures(second, ranking);
    const slider = place.querySelector("[type=range]");
    const back = place.querySelector("[data-back]");
    const cells = all("[data-measure]", place).map((cell) => ({ cell, stated: [...cell.childNodes] }));
    const spoken = place.querySelector("[data-spoken]").dataset.spoken;

    slider.addEventListener("input", () => {
      const score = Number(slider.value);
      /* The operating point lies between two stops of the slider as a rule; the nearest one means it. */
      const near = Math.abs(score - point.score_threshold) <= Number(slider.step) / 2;
      choice.change({ score: near ? point.score_threshold : score });
    });
    back.addEventListener("click", () => {
      choice.change({ score: point.score_threshold });
      slider.focus();
    });
    choice.follow(({ score }) => {
      const now = ranking.at(score);
      const atPoint = score === point.score_threshold;
      slider.value = score;
      first.place(moving, now.recall, now.precision);
      moveCursor(score);
      back.disabled = atPoint;
      for (const { cell, stated } of cells) {
        const value = cell.dataset.measure === "threshold" ? score : now[cell.dataset.measure];
        const words = { threshold: score.toFixed(3) }[cell.dataset.measure]
          ?? (Number.isInteger(value) && cell.dataset.measure.match(/right|wrong|missed/) ? String(value) : percent(value));
        cell.dataset.now = value ?? "";
        /* The record's own numbers, with their places in it, where they hold. */
        cell.replaceChildren(...(atPoint ? stated : [words]));
      }
      slider.setAttribute("aria-valuetext", spoken.replace(/\{(\w+)\}/g, (_, name) => ({
        score: score.toFixed(2), precision: percent(now.precision), recall: percent(now.recall),
        right: now.right, wrong: now.wrong, missed: now.missed,
      })[name]));
    });
    place.hidden = false;
  }

  /* The gallery shows what would still stand at the threshold, of the kind and size that were asked for. */
  function filters(record, choice) {
    const bar = document.querySelector(".filters");
    const cards = all(".gallery .card");
    if (!bar || !cards.length) return;
    const usual = record.operating_point.score_threshold;
    const count = bar.querySelector("[data-shown]");
    const slider = bar.querySelector("[type=range]");
    const said = bar.querySelector("[data-score]");
    for (const select of all("select", bar)) {
      select.addEventListener("change", () => choice.change({ [select.name]: select.value }));
    }
    slider.addEventListener("input", () => {
      const near = Math.abs(Number(slider.value) - usual) <= Number(slider.step) / 2;
      choice.change({ score: near ? usual : Number(slider.value) });
    });
    bar.querySelector("[data-reset]").addEventListener("click", () => choice.change({ ...choice.usual }));
    choice.follow((chosen) => {
      for (const select of all("select", bar)) {
        select.value = chosen[select.name];
        /* An address may name what this gallery does not have. */
        if (select.selectedIndex < 0) choice.value[select.name] = select.value = choice.usual[select.name];
      }
      slider.value = chosen.score;
      said.textContent = chosen.score.toFixed(2);
      slider.setAttribute("aria-valuetext", chosen.score.toFixed(2));
      for (const card of cards) card.hidden = !passes(card, choice.value, usual);
      for (const grid of all(".gallery")) {
        const empty = !grid.querySelector(".card:not([hidden])");
        for (const part of partsOf(grid)) part.hidden = empty;
      }
      const shown = cards.filter((card) => !card.hidden).length;
      count.textContent = count.dataset.shown.replace("{shown}", shown).replace("{all}", cards.length);
    });
    bar.hidden = false;
  }

  function passes(card, { kind, size, score }, usual) {
    const own = card.dataset.score === undefined ? null : Number(card.dataset.score);
    /* Below the operating point nothing else was judged: all that was found there is shown. */
    return (!kind || card.dataset.kind === kind) && (!size || card.dataset.size === size)
      && (own === null || score <= usual || own >= score);
  }

  /* A gallery, its heading, and what stands between the two. */
  function partsOf(grid) {
    const parts = [grid];
    for (let before = grid.previousElementSibling; before; before = before.previousElementSibling) {
      if (before.matches(".filters, .layers, .figure, .gallery")) return [grid];
      parts.push(before);
      if (before.matches("h3")) return parts;
    }
    return [grid];
  }

  document.addEventListener("DOMContentLoaded", () => {
    const text = document.getElementById("record")?.textContent;
    const curves = document.querySelector(".explorer");
    if (!text || !(curves || document.querySelector(".filters"))) return;
    const record = JSON.parse(text);
    const choice = new Choice({ score: record.operating_point.score_threshold, kind: "", size: "" });
    /* Either may be left out by templates of a reader's own. */
    if (curves) explorer(record, choice);
    filters(record, choice);
    choice.tell();
    /* An address with a choice in it names its section in a way that a browser does not follow by itself. */
    if (location.hash.includes("=")) document.getElementById(choice.target)?.scrollIntoView({ behavior: "instant" });
  });
})();
