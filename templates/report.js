"use strict";
/* What a reader can do with the page beyond reading it. Without this script everything is there and shown. */

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
      for (const scroller of all(".scroll, .drawing, pre")) {
        if (scroller.scrollWidth > scroller.clientWidth + 1) scroller.tabIndex = 0;
        else scroller.removeAttribute("tabindex");
      }
    };
    fit();
    addEventListener("resize", fit);
  }

  /* Tables with a column of numbers can be sorted: numbers down, words from A to Z; the other way; as they were. */
  function sortableTables() {
    for (const table of all("main table")) {
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

  function galleryLayers() {
    const template = document.getElementById("layers");
    const first = document.querySelector(".gallery .card")?.closest(".gallery");
    if (!template || !first) return;
    const bar = template.content.cloneNode(true);
    for (const box of all("[data-layer]", bar)) {
      box.addEventListener("change", () => root.classList.toggle(`without-${box.dataset.layer}`, !box.checked));
    }
    /* Above its heading: what stands between the two belongs to the gallery, and is hidden with it. */
    let heading = first.previousElementSibling;
    while (heading && !heading.matches("h2, h3, .gallery, .filters, .figure")) heading = heading.previousElementSibling;
    (heading?.matches("h3") ? heading : first).before(bar);
  }

  /* Pictures open enlarged; the arrow keys step through those that are shown, Escape closes. */
  function viewer() {
    const dialog = document.querySelector(".viewer");
    const everything = all(".gallery .card");
    if (!dialog?.showModal || !everything.length) return;
    const place = dialog.querySelector("[data-place]");
    let cards = everything;
    let current = 0;
    const show = (index) => {
      current = (index + cards.length) % cards.length;
      const copy = cards[current].cloneNode(true);
      copy.querySelector(".enlarge")?.remove();
      dialog.querySelector(".viewer-card").replaceChildren(copy);
      place.textContent = place.dataset.place.replace("{place}", current + 1).replace("{all}", cards.length);
    };
    for (const card of everything) {
      const button = card.querySelector(".enlarge");
      button.hidden = false;
      button.addEventListener("click", () => {
        cards = everything.filter((each) => !each.hidden);
        show(cards.indexOf(card));
        dialog.showModal();
      });
    }
    const steps = { ArrowRight: () => current + 1, ArrowLeft: () => current - 1, Home: () => 0, End: () => -1 };
    dialog.addEventListener("keydown", (event) => {
      if (!(event.key in steps)) return;
      show(steps[event.key]());
      event.preventDefault();
    });
    dialog.addEventListener("click", (event) => {
      const step = event.target.closest("[data-step]")?.dataset.step;
      if (step) show(current + (step === "on" ? 1 : -1));
      else if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
    });
    /* The reader comes back to the picture that was looked at last. */
    dialog.addEventListener("close", () => cards[current].querySelector(".enlarge").focus());
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

  function saveRecord() {
    const record = document.getElementById("record");
    const place = document.querySelector(".download");
    if (!record || !place) return;
    const link = place.querySelector("a");
    link.href = "#";
    link.addEventListener("click", () => {
      const text = `${JSON.stringify(JSON.parse(record.textContent), null, 1)}\n`;
      link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    });
    place.hidden = false;
  }

  document.addEventListener("DOMContentLoaded", () => {
    for (const feature of [
      themeButton, followReading, fitScrollers, sortableTables, galleryLayers, viewer, placesOfNumbers, saveRecord,
    ]) feature();
  });
})();
