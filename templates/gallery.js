"use strict";
/* The failure gallery at any score threshold: counts, bars, headings, pictures and the list of all failures. */

(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const PAGE = 50;
  const word = (name) => document.getElementById("words").content.querySelector(`[data-type="${name}"]`)?.textContent ?? name;
  const sizeOf = (record, area) => {
    const [medium, large] = record.failures.size_edges;
    return area < medium ? "small" : area < large ? "medium" : "large";
  };

  /* Every failure with its class; those of one class are sorted by score in the record. */
  class Failures {
    constructor(record) {
      const ofClass = (target, cases) => [target, cases.map((each) => ({ ...each, target }))];
      this.main = record.data.target;
      this.byClass = new Map([ofClass(this.main, record.evidence.cases),
        ...(record.classes?.failures ?? []).map((each) => ofClass(each.name, each.cases))]);
      this.key = this.cases = null;
    }

    /* The failures of the main class at a threshold. */
    at(level) { return this.byClass.get(this.main).filter((each) => each.first <= level && level <= each.last); }

    /* Those of the main class at a threshold, then those of the others, at their operating points. */
    ofAll(level) { return [...this.byClass].flatMap(([name, cases]) => name === this.main ? this.at(level) : cases); }

    /* The failures of the chosen class, or of all, sorted by score. */
    chosen({ level, value }) {
      const key = `${level} ${value.class}`;
      if (key !== this.key) {
        this.key = key;
        this.cases = value.class === this.main ? this.at(level) : this.byClass.get(value.class)
          ?? this.ofAll(level).sort((a, b) => (b.score ?? -1) - (a.score ?? -1) || b.area - a.area);
      }
      return this.cases;
    }
  }

  /* How many boxes are correct, counted as the failures are. */
  function correctBoxes(record, { value }) {
    const counts = new Map(record.classes?.failures.map((each) => [each.name, each.n_success]));
    counts.set(record.data.target, record.detection.points.filter((each) => each.correct && each.score >= value.score).length);
    return [...counts].filter(([name]) => !value.class || name === value.class).reduce((sum, [, count]) => sum + count, 0);
  }

  /* Whether the page states the record's own numbers: of the main class at its operating point. */
  const asStated = (choice) => choice.atPoint && choice.value.class === choice.usual.class;

  const overlaps = (a, b) => a && b && a.every((side, index) => Math.abs(side - b[index]) <= 0.06);

  /* What a picture is about: the box or the object that its card was picked for. */
  function subjectsOf(record) {
    const ofClasses = record.classes?.failures.flatMap((each) => each.items) ?? [];
    const items = [...record.failures.types.flatMap((each) => each.items), ...record.failures.successes, ...ofClasses];
    return new Map(items.map((item) => {
      const role = item.subject === "ground_truth" ? "missed" : "detection";
      return [item.photo, { item, xyxy: item.boxes.find((box) => box.role === role)?.xyxy }];
    }));
  }

  /* Whether a card still shows a failure of its type, or a correct box, at the threshold. */
  function holds(subject, cases, score) {
    const { item, xyxy } = subject;
    if (item.type === "success") return item.score >= score;
    return cases.some((each) => each.image_id === item.image_id && each.target === item.target && each.type === item.type && each.subject === item.subject
      && overlaps(item.subject === "ground_truth" ? each.matched : each.box, xyxy));
  }

  /* Every failure has a type of its own, so a text of the page can name how many there are. */
  function updateBars(record, choice, cases) {
    const table = document.getElementById("failures-by-type");
    if (!table) return;
    const rows = all("tbody tr", table);
    const counted = (type, subject) => cases.filter((each) => each.type === type && each.subject === subject).length;
    const most = Math.max(1, ...rows.flatMap((row) => ["detection", "ground_truth"].map((subject) => counted(row.dataset.type, subject))));
    for (const row of rows) {
      for (const cell of all("[data-count]", row)) {
        const n = counted(row.dataset.type, cell.dataset.count);
        cell.stated ??= [...cell.childNodes];
        cell.replaceChildren(...(asStated(choice) ? cell.stated : [String(n)]));
        cell.dataset.now = n;
        cell.previousElementSibling?.style.setProperty("--n", n / most);
      }
      row.classList.toggle("chosen", row.dataset.type === choice.value.type);
    }
    const note = document.querySelector("[data-elsewhere]");
    if (note) note.hidden = asStated(choice);
  }

  /* The sentence under a heading states counts at the operating point; elsewhere it states those of the threshold. */
  function updateHeadings(choice, cases) {
    for (const grid of all(".gallery")) {
      const type = grid.querySelector(".card")?.dataset.type;
      const line = grid.previousElementSibling;
      if (!type || type === "success" || line?.tagName !== "P") continue;
      line.stated ??= [...line.childNodes];
      const n = (subject) => cases.filter((each) => each.type === type && each.subject === subject).length;
      const words = `${word(type)}: ${n("detection")} ${word("detection")}, ${n("ground_truth")} ${word("ground_truth")}`;
      line.replaceChildren(...(asStated(choice) ? line.stated : [words]));
    }
  }

  /* A gallery, its heading, and what is between the two. */
  function partsOf(grid) {
    const parts = [grid];
    for (let before = grid.previousElementSibling; before; before = before.previousElementSibling) {
      if (before.matches(".filters, .figure, .gallery, .scroll")) return [grid];
      parts.push(before);
      if (before.matches("h3")) return parts;
    }
    return [grid];
  }

  function filters(record, failures, choice) {
    const bar = document.querySelector(".filters");
    const cards = all(".gallery .card");
    const subjects = subjectsOf(record);
    const ordered = [...subjects.values()];
    const byCard = new Map(cards.map((card) => [card, ordered.find(({ item }) =>
      item.image_id === card.dataset.image && item.target === card.dataset.class && item.type === card.dataset.type && item.subject === card.dataset.subject)]));
    if (bar) {
      for (const select of all("select", bar)) select.addEventListener("change", () => choice.change({ [select.name]: select.value }));
      choice.drive(bar.querySelector("[type=range]"));
      bar.querySelector("[data-reset]").addEventListener("click", () => choice.change({ ...choice.usual }));
      bar.hidden = false;
    }
    for (const link of all("[data-filter]")) {
      link.addEventListener("click", () => choice.change({ type: link.dataset.filter === choice.value.type ? "" : link.dataset.filter }));
    }
    choice.follow(() => {
      for (const select of all("select", bar ?? document.createElement("div"))) {
        select.value = choice.value[select.name];
        /* An address may name a type that this gallery does not have. */
        if (select.selectedIndex < 0) choice.value[select.name] = select.value = "";
      }
      const { type, size, score } = choice.value;
      const cases = failures.chosen(choice);
      for (const [card, subject] of byCard) {
        const moved = !choice.atPoint && card.dataset.class === choice.usual.class;
        card.hidden = Boolean((type && card.dataset.type !== type) || (size && card.dataset.size !== size)
          || (choice.value.class && card.dataset.class !== choice.value.class)
          || (subject && moved && !holds(subject, cases, score)));
      }
      for (const grid of all(".gallery")) {
        const empty = !grid.querySelector(".card:not([hidden])");
        for (const part of partsOf(grid)) part.hidden = empty;
      }
      updateBars(record, choice, cases);
      updateHeadings(choice, cases);
      if (!bar) return;
      const status = bar.querySelector("[data-shown]");
      const shown = cards.filter((card) => !card.hidden).length;
      const correct = correctBoxes(record, choice);
      status.textContent = shown === 0 ? status.dataset.none : status.dataset.shown
        .replace("{shown}", shown).replace("{failures}", cases.length).replace("{correct}", correct);
      /* Other classes are shown at their operating points alone. */
      const other = record.classes?.failures.find((each) => each.name === choice.value.class);
      const threshold = other?.score_threshold ?? score;
      const slider = bar.querySelector("[type=range]");
      slider.disabled = Boolean(other);
      slider.value = threshold;
      slider.setAttribute("aria-valuetext", threshold.toFixed(3));
      bar.querySelector("[data-score]").textContent = threshold.toFixed(3);
    });
  }

  /* Every failure at the threshold, sorted and filtered as the gallery is. */
  function listOfAll(record, failures, choice) {
    const place = document.getElementById("all-failures");
    if (!place) return;
    const table = place.querySelector("table");
    const more = place.querySelector("[data-more]");
    const keyOf = (name, image) => JSON.stringify([name, image]);
    const cards = new Map(all(".gallery .card").map((card) => [keyOf(card.dataset.class, card.dataset.image), card.id]));
    const columns = [
      { value: (each) => each.image_id },
      ...(record.classes ? [{ value: (each) => each.target }] : []),
      { value: (each) => word(each.type) }, { value: (each) => word(each.subject) },
      { value: (each) => each.score, number: (value) => value.toFixed(3) },
      { value: (each) => each.iou, number: (value) => value.toFixed(2) },
      { value: (each) => each.area, number: (value) => `${(100 * value).toFixed(1)}\u202f%` },
      { value: (each) => each.reason },
    ];
    let [rows, limit, sorted] = [[], PAGE, null];
    const fill = () => {
      table.tBodies[0].replaceChildren(...rows.slice(0, limit).map((each) => {
        const row = document.createElement("tr");
        columns.forEach(({ value, number }, column) => {
          const cell = row.insertCell();
          if (number) cell.className = "number";
          if (column === 0) cell.append(pictureLink(each, cards.get(keyOf(each.target, each.image_id)), rows));
          else cell.textContent = number && value(each) !== null ? number(value(each)) : value(each) ?? "";
        });
        return row;
      }));
      more.hidden = rows.length <= limit;
    };
    const order = () => {
      if (!sorted) return;
      const { value } = columns[sorted.column];
      const sign = sorted.direction === "ascending" ? 1 : -1;
      rows = [...rows].sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === null || y === null) return (x === null) - (y === null);
        return sign * (typeof x === "number" ? x - y : String(x).localeCompare(String(y), "en"));
      });
    };
    all("th", table).forEach((heading, column) => {
      const button = document.createElement("button");
      Object.assign(button, { type: "button", className: "sort" });
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => {
        const numbers = Boolean(columns[column].number);
        const before = heading.getAttribute("aria-sort");
        const direction = before ? (before === "ascending" ? "descending" : "ascending") : numbers ? "descending" : "ascending";
        for (const other of all("th", table)) other.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", direction);
        sorted = { column, direction };
        order();
        fill();
      });
    });
    more.addEventListener("click", () => { limit += PAGE; fill(); });
    choice.follow(({ type, size }) => {
      rows = failures.chosen(choice).filter((each) => (!type || each.type === type) && (!size || sizeOf(record, each.area) === size));
      limit = PAGE;
      place.querySelector("[data-total]").textContent = rows.length;
      order();
      fill();
    });
    place.hidden = false;
  }

  /* The image's name: it opens the picture in the page, or the file in the run's folder, and leads on to the others. */
  function pictureLink(each, card, rows) {
    const link = document.createElement("a");
    link.textContent = each.image_id;
    link.href = card ? `#${card}` : each.picture ? encodeURI(each.picture) : "#all-failures";
    if (!card && !each.picture) return document.createTextNode(each.image_id);
    if (!card) link.addEventListener("click", (event) => {
      event.preventDefault();
      const cases = rows.filter(({ picture }) => picture);
      document.dispatchEvent(new CustomEvent("dogcam-case", { detail: { cases, place: cases.indexOf(each), link } }));
    });
    return link;
  }

  function failuresAsCsv(failures, level) {
    const head = ["image", "class", "type", "subject", "score", "iou", "reason", "x0", "y0", "x1", "y1", "object_x0", "object_y0", "object_x1", "object_y1"];
    const guard = (value) => /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
    const cell = (value) => {
      const text = value === null || value === undefined ? "" : typeof value === "number" ? String(value) : guard(value);
      return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    const four = (box) => box ?? [null, null, null, null];
    const rows = failures.ofAll(level).map((each) =>
      [each.image_id, each.target, each.type, each.subject, each.score, each.iou, each.reason, ...four(each.box), ...four(each.matched)]);
    return `${[head, ...rows].map((row) => row.map(cell).join(",")).join("\n")}\n`;
  }

  document.addEventListener("DOMContentLoaded", () => {
    const { record, choice } = dogcam;
    if (!record) return;
    const failures = new Failures(record);
    filters(record, failures, choice);
    listOfAll(record, failures, choice);
    dogcam.failuresAsCsv = () => failuresAsCsv(failures, choice.levels.indexOf(choice.usual.score));
    choice.tell();
    /* A browser does not follow an address with a choice in it by itself. */
    if (location.hash.includes("=")) dogcam.reveal?.(choice.target);
  });
})();
