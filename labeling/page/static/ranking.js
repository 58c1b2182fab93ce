// Ranking: completions as cards that are put on levels, by keys, buttons or dragging.

import { announce, element, letter } from "./dom.js";
import { makeDraggable } from "./drag.js";
import { Places } from "./places.js";
import { areShortcutsOn } from "./shortcuts.js";
import { askReason } from "./unusable.js";

const EDGE_PIXELS = 24; // so near to the edge of a level a card goes between levels, else onto it

export class Ranking {
  // `host`: draft (values or undefined), changed(), submit().
  constructor(root, task, host) {
    this.host = host;
    this.places = new Places(task.completions.map(({ id }) => id));
    if (host.draft) this.places.restore(host.draft);
    else if (task.former) this.places.restoreAnswer(task.former);
    this.letters = new Map(task.completions.map(({ id }, index) => [id, letter(index)]));
    this.cards = new Map(task.completions.map(({ id, text }) => [id, this.#card(id, text)]));
    this.tray = section("tray", "Not ranked yet");
    this.unusable = section("unusable", "Unusable");
    this.levels = this.places.names.map((_, index) => levelItem(index + 1));
    const ranked = element("section", { class: "ranked", "aria-labelledby": "ranked-heading" },
      element("h2", { id: "ranked-heading" }, "Your ranking"),
      element("ol", { class: "levels" }, ...this.levels.map((level) => level.item)));
    this.root = element("div", { class: "ranking" }, this.tray.section, ranked, this.unusable.section);
    root.replaceChildren(this.root);
    this.#layOut();
  }

  get draft() {
    return this.places.values;
  }

  get answer() {
    if (this.places.unplaced.length) return null;
    return { levels: this.places.ranked, unusable: this.places.values.unusable };
  }

  get missing() {
    const { length } = this.places.unplaced;
    return length === 1 ? "1 is not ranked yet" : `${length} are not ranked yet`;
  }

  focus() {
    this.#focus(this.current);
  }

  undo() {
    if (!this.places.undo()) return false;
    this.#changed("Undone");
    return true;
  }

  // True when the key meant something here.
  key(event) {
    const name = this.current;
    const isArrow = event.key === "ArrowUp" || event.key === "ArrowDown";
    const key = event.key.toLowerCase();
    if (isArrow && (event.altKey || event.shiftKey)) this.#move(name, event.key === "ArrowUp");
    else if (event.altKey) return false;
    else if (isArrow) this.#focus(this.#neighbour(name, event.key === "ArrowUp" ? -1 : 1));
    else if (key >= "1" && key <= "9" && Number(key) <= this.places.numLevels) this.#put(name, Number(key));
    else if (key === "t") this.#tie(name);
    else if (key === "f") this.#mark(name);
    else return false;
    return true;
  }

  // The card in hand: the focused one, else the first that is not ranked yet.
  get current() {
    const focused = document.activeElement?.closest(".card");
    return focused?.dataset.id ?? this.last ?? this.places.unplaced[0] ?? this.places.names[0];
  }

  // --- what people do ----------------------------------------------------------------------------------------------

  #put(name, level) {
    const isNew = this.places.unplaced.includes(name);
    this.places.put(name, level);
    this.#changed(this.#described(name), isNew ? this.places.unplaced[0] : name);
  }

  #move(name, isUp) {
    const hasMoved = isUp ? this.places.moveUp(name) : this.places.moveDown(name);
    this.#changed(hasMoved ? this.#described(name) : "It cannot go further", name);
  }

  #tie(name) {
    const isNew = this.places.unplaced.includes(name);
    const isTied = this.places.tieWithAbove(name);
    this.#changed(isTied ? this.#described(name) : "There is none above", isTied && isNew ? this.places.unplaced[0] : name);
  }

  async #mark(name) {
    const reason = await askReason(`completion ${this.letters.get(name)}`);
    if (reason) this.places.markUnusable(name, reason);
    this.#changed(this.#described(name), (reason && this.places.unplaced[0]) ?? name);
  }

  #putBack(name) {
    this.places.unplace(name);
    this.#changed(this.#described(name), name);
  }

  #changed(said, next) {
    this.#layOut();
    this.#focus(next ?? this.current);
    const { length } = this.places.unplaced;
    announce(`${said}. ${length ? `${length} left to rank` : `All are ranked: submit with ${areShortcutsOn() ? "" : "Ctrl and "}Enter`}.`);
    this.host.changed();
  }

  // --- what they see -----------------------------------------------------------------------------------------------

  #card(name, text) {
    const label = this.letters.get(name);
    const button = (shown, title, onclick, kind) =>
      element("button", { class: `small-button ${kind}`, title, "aria-label": `${title}: completion ${label}`, onclick }, shown);
    const handle = element("span", { class: "handle", title: "Drag" },
      element("span", { class: "grip", "aria-hidden": "true" }), element("span", { class: "letter" }, label));
    const levels = this.places.names.map((_, index) => element("button",
      { class: "level-button", "aria-label": `Level ${index + 1}: completion ${label}`, onclick: () => this.#put(name, index + 1) },
      String(index + 1)));
    const card = element("article", { class: "card", tabindex: "0", "data-id": name },
      element("div", { class: "card-head" }, handle, element("span", { class: "reason" }),
        element("span", { class: "card-buttons" },
          button("↑", "Move up", () => this.#move(name, true), "when-ranked"),
          button("↓", "Move down", () => this.#move(name, false), "when-ranked"),
          button("=", "Tie with the one above", () => this.#tie(name), "when-ranked"),
          button("Unusable", "Mark unusable", () => this.#mark(name), "when-usable"),
          button("Usable again", "Usable again", () => this.#putBack(name), "when-unusable"))),
      element("div", { class: "text as-written" }, text),
      element("div", { class: "level-buttons when-usable", role: "group", "aria-label": `Level of completion ${label}` },
        element("span", { class: "small muted", "aria-hidden": "true" }, "Level"), ...levels));
    card.addEventListener("focusin", () => (this.last = name));
    let target = null; // what is shown is what a drop means: a long card gets its height back then, and the levels move
    makeDraggable(card, handle, {
      move: (x, y) => this.#showTarget((target = this.#target(name, x, y))),
      drop: () => this.#drop(name, target),
      cancel: () => this.#showTarget(null),
    });
    return card;
  }

  #layOut() {
    const cardsOf = (names) => names.map((name) => this.cards.get(name));
    this.tray.cards.replaceChildren(...cardsOf(this.places.unplaced));
    this.unusable.cards.replaceChildren(...cardsOf([...this.places.unusable.keys()]));
    this.levels.forEach(({ item, cards, note }, index) => {
      const names = this.places.on(index + 1);
      cards.replaceChildren(...cardsOf(names));
      item.classList.toggle("empty", !names.length);
      note.textContent = names.length > 1 ? "tie" : index === 0 ? "best" : "";
    });
    this.root.classList.toggle("complete", !this.places.unplaced.length);
    this.root.classList.toggle("none-unusable", !this.places.unusable.size);
    for (const [name, card] of this.cards) this.#showState(name, card);
  }

  #showState(name, card) {
    const level = this.places.level.get(name);
    const reason = this.places.unusable.get(name);
    card.setAttribute("aria-label", this.#described(name));
    card.dataset.state = reason ? "unusable" : level ? "ranked" : "unranked";
    card.querySelector(".reason").textContent = reason ?? "";
    card.querySelectorAll(".level-button").forEach((button, index) =>
      button.setAttribute("aria-pressed", String(index + 1 === level)));
  }

  #described(name) {
    const level = this.places.level.get(name);
    const label = `Completion ${this.letters.get(name)}`;
    if (this.places.unusable.has(name)) return `${label}, unusable: ${this.places.unusable.get(name)}`;
    if (level === undefined) return `${label}, not ranked yet`;
    const tied = this.places.on(level).filter((other) => other !== name).map((other) => this.letters.get(other));
    return `${label}, level ${level} of ${this.places.numLevels}${tied.length ? `, tied with ${tied.join(" and ")}` : ""}`;
  }

  #focus(name) {
    const card = this.cards.get(name);
    card.focus({ preventScroll: true });
    card.scrollIntoView({ block: "nearest" });
  }

  #neighbour(name, step) {
    const inOrder = [...this.root.querySelectorAll(".card")].map((card) => card.dataset.id);
    const index = inOrder.indexOf(name) + step;
    return inOrder[Math.min(Math.max(index, 0), inOrder.length - 1)];
  }

  // --- dragging ----------------------------------------------------------------------------------------------------

  // Where a card would go: {element, place, act} or null.
  #target(name, x, y) {
    for (const [index, { item }] of this.levels.entries()) {
      const level = index + 1;
      const box = item.getBoundingClientRect();
      if (!isWithin(box, x, y)) continue;
      const edge = this.places.on(level).length ? Math.min(EDGE_PIXELS, box.height / 4) : 0;
      if (y < box.top + edge) return { element: item, place: "before", act: () => this.places.insertAbove(name, level) };
      if (y > box.bottom - edge) return { element: item, place: "after", act: () => this.places.insertAbove(name, level + 1) };
      return { element: item, place: "onto", act: () => this.places.put(name, level) };
    }
    if (isWithin(this.tray.section.getBoundingClientRect(), x, y))
      return { element: this.tray.section, place: "onto", act: () => this.places.unplace(name) };
    if (isWithin(this.unusable.section.getBoundingClientRect(), x, y))
      return { element: this.unusable.section, place: "onto", act: null };
    return null;
  }

  #showTarget(target) {
    this.root.classList.add("dragging");
    this.root.querySelectorAll("[data-drop]").forEach((one) => one !== target?.element && delete one.dataset.drop);
    if (target) target.element.dataset.drop = target.place;
  }

  #drop(name, target) {
    this.#showTarget(null);
    this.root.classList.remove("dragging");
    if (target && !target.act) {
      this.#mark(name);
      return;
    }
    target?.act();
    this.#changed(this.#described(name), name);
  }
}

function isWithin(box, x, y) {
  return x >= box.left && x <= box.right && y >= box.top && y <= box.bottom;
}

function section(name, title) {
  const cards = element("div", { class: "cards" });
  const made = element("section", { class: name, "aria-labelledby": `${name}-title` },
    element("h2", { id: `${name}-title` }, title), cards);
  return { section: made, cards };
}

function levelItem(level) {
  const note = element("span", { class: "level-note" });
  const cards = element("div", { class: "cards" });
  const number = element("div", { class: "level-number" }, String(level), note);
  return { item: element("li", { class: "level", "data-level": String(level) }, number, cards), cards, note };
}
