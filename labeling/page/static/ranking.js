// Ranking: completions as cards that are given ranks, by keys, buttons or dragging. They move to their rank, or stay side by side.

import { announce, element, letter } from "./dom.js";
import { makeDraggable } from "./drag.js";
import { Places } from "./places.js";
import { areShortcutsOn } from "./switches.js";
import { Text, toggleAll } from "./text.js";
import { askReason } from "./unusable.js";

const EDGE_PIXELS = 24; // so near to the edge of a level a card goes between levels, else onto it

export class Ranking {
  // `host`: draft (values or undefined), changed(), submit(), isSideBySide().
  constructor(root, task, host) {
    this.host = host;
    this.places = new Places(task.completions.map(({ id }) => id));
    if (host.draft) this.places.restore(host.draft);
    else if (task.former) this.places.restoreAnswer(task.former);
    this.letters = new Map(task.completions.map(({ id }, index) => [id, letter(index)]));
    this.texts = new Map(task.completions.map((one) => [one.id, new Text(one, `completion ${this.letters.get(one.id)}`)]));
    this.cards = new Map(task.completions.map(({ id }) => [id, this.#card(id)]));
    this.tray = section("tray", "Not ranked yet",
      element("button", { class: "small-button", onclick: () => this.#markAll() }, "All unusable"));
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

  // Without scrolling: who begins to read begins at the top.
  focus() {
    this.cards.get(this.current).focus({ preventScroll: true });
  }

  // What an arrow does here is no answer: it works also where single keys are switched off.
  get hasArrows() {
    return true;
  }

  layOut() {
    const { activeElement } = document;
    this.#layOut();
    if (!activeElement?.closest(".card")) activeElement?.focus({ preventScroll: true });
    else this.#focus(this.current);
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
    const aside = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const key = event.key.toLowerCase();
    if (isArrow && (event.altKey || event.shiftKey)) this.#move(name, event.key === "ArrowUp");
    else if (event.altKey) return false;
    else if (isArrow) this.#focus(this.#neighbour(name, event.key === "ArrowUp" ? -1 : 1));
    else if (aside) return this.#goAside(name, aside);
    else if (key >= "1" && key <= "9" && Number(key) <= this.places.numLevels) this.#put(name, Number(key));
    else if (key === "t") this.#tie(name);
    else if (key === "f") event.shiftKey ? this.#markAll() : this.#mark(name);
    else if (key === "o") event.shiftKey ? toggleAll([...this.texts.values()]) : this.texts.get(name).toggle();
    else return false;
    return true;
  }

  // From one rank button to the next, or from card to card where they stand side by side.
  #goAside(name, step) {
    const buttons = [...this.cards.get(name).querySelectorAll(".level-button")];
    const at = buttons.indexOf(document.activeElement);
    if (at >= 0) buttons[at + step]?.focus({ preventScroll: true });
    else if (this.host.isSideBySide()) this.#focus(this.#neighbour(name, step));
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
    const reason = await askReason(`Why is completion ${this.letters.get(name)} unusable?`);
    if (reason) this.places.markUnusable(name, reason);
    this.#changed(this.#described(name), (reason && this.places.unplaced[0]) ?? name);
  }

  async #markAll() {
    const name = this.current;
    const reason = await askReason("Why are all of them unusable?");
    if (reason) this.places.markAllUnusable(reason);
    this.#changed(reason ? `All unusable: ${reason}` : this.#described(name), name);
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

  #card(name) {
    const label = this.letters.get(name);
    const button = (shown, title, onclick, kind) =>
      element("button", { class: `small-button ${kind}`, title, "aria-label": `${title}: completion ${label}`, onclick }, shown);
    const handle = element("span", { class: "handle", title: "Drag" },
      element("span", { class: "grip", "aria-hidden": "true" }), element("span", { class: "letter" }, label));
    const levels = this.places.names.map((_, index) => element("button",
      { class: "level-button", "aria-label": `Rank ${index + 1}: completion ${label}`, onclick: () => this.#put(name, index + 1) },
      String(index + 1)));
    const card = element("article", { class: "card", "data-id": name },
      element("div", { class: "card-head" }, handle,
        element("div", { class: "level-buttons when-usable", role: "group", "aria-label": `Rank of completion ${label}` }, ...levels),
        element("span", { class: "reason" }),
        element("span", { class: "card-buttons" },
          button("↑", "Move up", () => this.#move(name, true), "when-ranked"),
          button("↓", "Move down", () => this.#move(name, false), "when-ranked"),
          button("=", "Tie with the one above", () => this.#tie(name), "when-ranked"),
          button("Unusable", "Mark unusable", () => this.#mark(name), "when-usable"),
          button("Usable again", "Usable again", () => this.#putBack(name), "when-unusable"))),
      this.texts.get(name).root);
    card.addEventListener("focusin", ({ target }) => {
      this.last = name;
      this.#showTabStops(target);
    });
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
    const isSideBySide = this.host.isSideBySide();
    this.root.classList.toggle("side-by-side", isSideBySide);
    this.tray.heading.textContent = isSideBySide ? "Completions" : "Not ranked yet";
    this.tray.cards.replaceChildren(...cardsOf(isSideBySide ? this.places.names : this.places.unplaced));
    if (!isSideBySide) this.#layOutRanked(cardsOf);
    this.root.classList.toggle("complete", !this.places.unplaced.length);
    this.root.classList.toggle("none-unusable", !this.places.unusable.size);
    for (const [name, card] of this.cards) this.#showState(name, card);
    this.#showTabStops();
  }

  #layOutRanked(cardsOf) {
    this.unusable.cards.replaceChildren(...cardsOf([...this.places.unusable.keys()]));
    this.levels.forEach(({ item, cards, note }, index) => {
      const names = this.places.on(index + 1);
      cards.replaceChildren(...cardsOf(names));
      item.classList.toggle("empty", !names.length);
      note.textContent = names.length > 1 ? "tie" : index === 0 ? "best" : "";
    });
  }

  // Tab stops at one card, the one in hand, and there once among its ranks (a roving tabindex): arrows go to the others.
  #showTabStops(focused = document.activeElement) {
    const inHand = this.cards.get(this.current);
    for (const card of this.cards.values()) {
      const stop = (isStop) => (card === inHand && isStop ? 0 : -1);
      const levels = [...card.querySelectorAll(".level-button")];
      const is = (wanted) => levels.find(wanted);
      const chosen = is((one) => one === focused) ?? is((one) => one.ariaPressed === "true") ?? is((one) => one.tabIndex === 0) ?? levels[0];
      card.tabIndex = stop(true);
      for (const button of card.querySelectorAll("button")) button.tabIndex = stop(!levels.includes(button) || button === chosen);
    }
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
    return `${label}, rank ${level} of ${this.places.numLevels}${tied.length ? `, tied with ${tied.join(" and ")}` : ""}`;
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
    if (this.host.isSideBySide()) return null;
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

function section(name, title, ...buttons) {
  const cards = element("div", { class: "cards" });
  const heading = element("h2", { id: `${name}-title` }, title);
  const made = element("section", { class: name, "aria-labelledby": `${name}-title` },
    element("div", { class: "section-head" }, heading, ...buttons), cards);
  return { section: made, heading, cards };
}

function levelItem(level) {
  const note = element("span", { class: "level-note" });
  const cards = element("div", { class: "cards" });
  const number = element("div", { class: "level-number" }, String(level), note);
  return { item: element("li", { class: "level", "data-level": String(level) }, number, cards), cards, note };
}
