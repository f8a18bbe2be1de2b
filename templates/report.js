"use strict";
/* What a reader can do with the page beyond reading it. Without scripts everything is there, folded or shown. */

(() => {
  const THEME = "dogcam-theme";
  const root = document.documentElement;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  /* A file opened from a disk may be refused a memory; the page is then as the system wants it. */
  const remembered = () => {
    try { return localStorage.getItem(THEME); } catch { return null; }
  };
  const remember = (theme) => {
    try { localStorage.setItem(THEME, theme); } catch { /* It lasts as long as the page, then. */ }
  };

  /* At once, while the head is read: the page must not flash in the other colours. */
  if (remembered()) root.dataset.theme = remembered();

  function themeButton() {
    const button = document.querySelector(".theme");
    if (!button) return;
    button.hidden = false;
    button.addEventListener("click", () => {
      const dark = root.dataset.theme
        ? root.dataset.theme === "dark"
        : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
      remember(root.dataset.theme);
    });
  }

  /* Mark in the contents the section that is being read. */
  function followReading() {
    const strip = document.querySelector(".contents ol");
    const links = new Map(all(".contents a").map((link) => [decodeURIComponent(link.hash.slice(1)), link]));
    if (!strip || !("IntersectionObserver" in window)) return;
    const mark = (current) => {
      for (const [anchor, link] of links) {
        if (anchor !== current) link.removeAttribute("aria-current");
        else {
          link.setAttribute("aria-current", "location");
          strip.scrollLeft = link.offsetLeft - (strip.clientWidth - link.offsetWidth) / 2;
        }
      }
    };
    const observer = new IntersectionObserver((entries) => {
      const entered = entries.filter((entry) => entry.isIntersecting).at(-1);
      if (entered) mark(entered.target.id);
    }, { rootMargin: "-25% 0px -70% 0px" });
    mark(links.keys().next().value);
    for (const anchor of links.keys()) {
      const section = document.getElementById(anchor);
      if (section) observer.observe(section);
    }
  }

  /* Only what overflows is a stop for the Tab key, and drawings stay large enough to be read. */
  function fitScrollers() {
    for (const drawing of all(".drawing > svg")) {
      const natural = drawing.viewBox.baseVal.width;
      if (natural) drawing.style.minWidth = `${Math.round(0.85 * natural)}px`;
    }
    const fit = () => {
      for (const scroller of all(".scroll, .drawing, .grid, pre")) {
        if (scroller.scrollWidth > scroller.clientWidth + 1) scroller.tabIndex = 0;
        else scroller.removeAttribute("tabindex");
      }
    };
    fit();
    addEventListener("resize", fit);
  }

  /* Tables with a column of numbers can be sorted: numbers down, words from A to Z; the other way; as they were. */
  function sortableTables() {
    for (const table of all("main table:not(#table-all-failures)")) {
      const body = table.tBodies[0];
      const headings = all("thead th", table);
      const original = body ? [...body.rows] : [];
      /* A sum stands below what it sums, whatever the order. */
      const sum = original.filter((row) => row.querySelector(".sum"));
      const rows = original.filter((row) => !sum.includes(row));
      const hasNumber = (column) => (row) => row.cells[column]?.querySelector("data");
      if (rows.length < 3 || !headings.some((_, column) => rows.every(hasNumber(column)))) continue;
      headings.forEach((heading, column) => {
        const button = document.createElement("button");
        button.type = "button";
        button.className = "sort";
        button.append(...heading.childNodes);
        heading.append(button);
        button.addEventListener("click", () => {
          const orders = ["ascending", "descending"];
          if (rows.some(hasNumber(column))) orders.reverse();
          const next = orders[orders.indexOf(heading.ariaSort) + 1];
          for (const other of headings) other.removeAttribute("aria-sort");
          if (next) heading.setAttribute("aria-sort", next);
          const sorted = next ? [...rows].sort(byColumn(column, next)) : rows;
          body.append(...sorted, ...sum);
        });
      });
    }
  }

  function byColumn(column, direction) {
    const key = (row) => {
      const cell = row.cells[column];
      const data = cell.querySelector("data");
      return data ? Number(data.value) : cell.textContent.trim();
    };
    const sign = direction === "ascending" ? 1 : -1;
    return (one, other) => {
      const [a, b] = [key(one), key(other)];
      if (typeof a === "number" && typeof b === "number") return sign * (a - b);
      /* What has no number comes after what has one. */
      if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
      return sign * a.localeCompare(b, "en");
    };
  }

  /* Layers can be switched in the gallery and in the dialog; the switches agree. */
  function layers() {
    const boxes = all("[data-layer]");
    for (const box of boxes) {
      box.addEventListener("change", () => {
        root.classList.toggle(`without-${box.dataset.layer}`, !box.checked);
        for (const other of boxes) if (other.dataset.layer === box.dataset.layer) other.checked = box.checked;
      });
    }
  }

  /* Images open enlarged; arrow keys and swipes step through those that are shown, Escape closes. */
  function viewer() {
    const dialog = document.querySelector(".viewer");
    const everything = all(".gallery .card");
    if (!dialog?.showModal || !everything.length) return;
    const place = dialog.querySelector("[data-place]");
    const body = dialog.querySelector(".viewer-card");
    let cards = everything;
    let current = 0;
    let opener = null;
    const show = (index) => {
      current = (index + cards.length) % cards.length;
      const card = cards[current];
      const copy = typeof card === "function" ? card() : card.cloneNode(true);
      copy.removeAttribute("id");
      for (const part of all(".enlarge, .self", copy)) part.remove();
      body.replaceChildren(copy);
      place.textContent = place.dataset.place.replace("{place}", current + 1).replace("{all}", cards.length);
    };
    for (const card of everything) {
      const button = card.querySelector(".enlarge");
      button.hidden = false;
      button.addEventListener("click", () => {
        cards = everything.filter((each) => !each.hidden);
        opener = null;
        show(cards.indexOf(card));
        dialog.showModal();
      });
    }
    /* Failures without a card: their pictures are files of the run, read as they are shown, if there are any. */
    const figureOf = (each) => {
      const figure = document.createElement("figure");
      figure.className = "card";
      const image = new Image();
      image.className = "alone";
      image.alt = each.image_id;
      image.src = encodeURI(each.picture);
      image.addEventListener("error", () => image.remove());
      const caption = document.createElement("figcaption");
      caption.textContent = `${each.image_id}: ${each.reason}`;
      figure.append(image, caption);
      return figure;
    };
    document.addEventListener("dogcam-case", ({ detail: { cases, place: first, link } }) => {
      cards = cases.map((each) => () => figureOf(each));
      opener = link;
      show(first);
      dialog.showModal();
    });
    const steps = { ArrowRight: () => current + 1, ArrowLeft: () => current - 1, Home: () => 0, End: () => -1 };
    dialog.addEventListener("keydown", (event) => {
      if (!(event.key in steps) || event.target.matches("input[type=range]")) return;
      show(steps[event.key]());
      event.preventDefault();
    });
    dialog.addEventListener("click", (event) => {
      const step = event.target.closest("[data-step]")?.dataset.step;
      if (step) show(current + (step === "on" ? 1 : -1));
      else if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
    });
    let start = null;
    body.addEventListener("pointerdown", (event) => { start = event.clientX; });
    body.addEventListener("pointerup", (event) => {
      const moved = start === null ? 0 : event.clientX - start;
      start = null;
      if (Math.abs(moved) > 40) show(current + (moved < 0 ? 1 : -1));
    });
    /* Focus returns to the image that was shown last. */
    dialog.addEventListener("close", () => (opener ?? cards[current].querySelector(".enlarge"))?.focus());
  }

  /* What is folded opens for a link to it, for print, and closes again after. */
  function folds() {
    const open = (element) => {
      for (let each = element; each; each = each.parentElement) if (each.tagName === "DETAILS") each.open = true;
    };
    dogcam.reveal = (anchor) => {
      const element = anchor && document.getElementById(anchor);
      if (!element) return;
      if (element.matches(".card") && element.hidden) dogcam.choice?.change({ ...dogcam.choice.usual, class: element.dataset.class });
      open(element);
      element.scrollIntoView({ behavior: "instant" });
    };
    const follow = () => {
      const anchor = location.hash.slice(1).split("&")[0];
      if (!anchor || anchor.includes("=")) return;
      /* An address may be anything that somebody typed. */
      try { dogcam.reveal(decodeURIComponent(anchor)); } catch (error) { if (!(error instanceof URIError)) throw error; }
    };
    addEventListener("hashchange", follow);
    if (location.hash) requestAnimationFrame(follow);
    let opened = [];
    addEventListener("beforeprint", () => {
      opened = all("main details:not([open])");
      for (const each of opened) each.open = true;
    });
    addEventListener("afterprint", () => { for (const each of opened) each.open = false; });
  }

  const save = (link, name, text, type) => {
    link.download = name;
    link.href = URL.createObjectURL(new Blob([text], { type }));
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };

  /* Tables copy as tab-separated values, drawings are saved as SVG. */
  function tools() {
    const template = (id) => document.getElementById(id)?.content.firstElementChild;
    for (const table of all("main table")) {
      const bar = template("tools")?.cloneNode(true);
      if (!bar) return;
      const button = bar.querySelector("button");
      const words = button.textContent;
      button.addEventListener("click", async () => {
        const text = (cell) => cell.innerText.replace(/[\t\n\r]+/g, " ").trim();
        const rows = [...table.rows].map((row) => [...row.cells].map(text).join("\t")).join("\n");
        try { await navigator.clipboard.writeText(rows); } catch { copyBySelection(rows); }
        button.dataset.copied = rows;
        button.textContent = button.dataset.done;
        setTimeout(() => { button.textContent = words; }, 1500);
      });
      (table.closest(".scroll") ?? table).after(bar);
    }
    for (const drawing of all("figure.figure > .drawing:not(.narrow) > svg, .static .drawing > svg")) {
      const bar = template("svg-tools")?.cloneNode(true);
      if (!bar) return;
      bar.querySelector("button").addEventListener("click", () => {
        const link = document.createElement("a");
        const figure = drawing.closest("figure");
        save(link, `${figure?.id || "precision-recall"}.svg`, resolved(drawing), "image/svg+xml");
        link.click();
      });
      (drawing.closest("figure")?.querySelector(".narrow") ?? drawing.parentElement).after(bar);
    }
  }

  function copyBySelection(text) {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }

  /* A drawing for itself: the page's colours in place of its variables. */
  function resolved(drawing) {
    const copy = drawing.cloneNode(true);
    const style = getComputedStyle(root);
    const own = (text) => text.replace(/var\((--[\w-]+), *(#[0-9a-f]{6})\)/gi, (_, name, usual) => {
      const probe = document.createElement("span");
      probe.style.color = `var(${name})`;
      document.body.append(probe);
      const colour = getComputedStyle(probe).color || usual;
      probe.remove();
      return colour;
    });
    copy.setAttribute("style", `background: ${style.getPropertyValue("background-color") || "white"}; font-family: sans-serif`);
    return own(new XMLSerializer().serializeToString(copy));
  }

  /* Where in the record a number stands: for a pointer, for a finger, and for a keyboard that asks for it,
     since there are too many numbers for each to be a stop of the Tab key unasked. */
  function placesOfNumbers() {
    const numbers = all("data[data-ref]").filter((number) => !number.closest("[aria-hidden=true]"));
    const said = document.querySelector(".place-of");
    const words = (number) => `${number.dataset.ref} = ${number.value}`;
    const numberOf = (event) => event.target.closest?.("data[data-ref]");
    document.addEventListener("mouseover", (event) => {
      const number = numberOf(event);
      if (number && !number.title) number.title = words(number);
    });
    const hint = document.querySelector(".places");
    if (!said || !hint) return;
    const say = (number) => {
      said.textContent = number ? words(number) : "";
      /* An open dialog covers all that is outside of it. */
      if (number) (number.closest("dialog") ?? document.body).append(said);
    };
    document.addEventListener("click", (event) => say(event.target.closest?.("button, a, label") ? null : numberOf(event)));
    document.addEventListener("focusin", (event) => say(numberOf(event)));
    document.addEventListener("keydown", (event) => { if (event.key === "Escape") say(null); });
    hint.querySelector("button").addEventListener("click", ({ currentTarget: button }) => {
      const stops = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", stops);
      for (const number of numbers) {
        if (stops) number.tabIndex = 0;
        else number.removeAttribute("tabindex");
      }
    });
    hint.hidden = false;
  }

  function downloads() {
    const record = document.getElementById("record");
    const place = document.querySelector(".download");
    if (!record || !place) return;
    const texts = {
      record: () => `${JSON.stringify(JSON.parse(record.textContent), null, 1)}\n`,
      failures: () => dogcam.failuresAsCsv(),
    };
    for (const link of all("[data-save]", place)) {
      const name = link.getAttribute("download");
      link.href = "#";
      link.addEventListener("click", () => save(link, name, texts[link.dataset.save](), "application/octet-stream"));
    }
    place.hidden = false;
  }

  document.addEventListener("DOMContentLoaded", () => {
    for (const feature of [
      themeButton, followReading, fitScrollers, sortableTables, layers, viewer, folds, tools, placesOfNumbers, downloads,
    ]) feature();
  });
})();
