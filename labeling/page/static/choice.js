// Choice: A against B. One key or button chooses and submits; where it is asked by how much, a second one does. An unusable mark waits for
// Submit.

import { announce, element, letter } from "./dom.js";
import { Text, toggleAll } from "./text.js";
import { askReason } from "./unusable.js";

export class Choice {
  // `host` as in ranking.js; its `degrees`: the words for how much better one is, none where that is not asked.
  constructor(root, task, host) {
    this.host = host;
    this.names = task.completions.map(({ id }) => id);
    this.said = host.draft ?? (task.former ? saidIn(task.former) : nothing());
    this.former = [];
    this.texts = task.completions.map((one, index) => new Text(one, `completion ${letter(index)}`));
    this.cards = task.completions.map(({ id }, index) => this.#card(id, index));
    this.tie = element("button", { class: "choose", onclick: () => this.choose([this.names]) }, "A tie ", element("kbd", {}, "T"));
    this.degrees = host.degrees.map((degree, index) => this.#degree(degree, index));
    const byHowMuch = element("div", { class: "degrees", role: "group", "aria-label": "By how much is it better?" }, ...this.degrees);
    const asked = this.degrees.length ? [byHowMuch] : [];
    const both = element("button", { class: "small-button", onclick: () => this.#markBoth() }, "Both unusable");
    root.replaceChildren(element("div", { class: "choice" }, ...this.cards.map(({ card }) => card), ...asked, this.tie, both));
    this.#show();
  }

  get draft() {
    return this.said;
  }

  get answer() {
    const isSaid = this.said.levels.length || Object.keys(this.said.unusable).length;
    return isSaid && !(this.#isOneBetter && this.degrees.length && !this.said.degree) ? this.said : null;
  }

  get missing() {
    return this.#isOneBetter ? "say by how much it is better" : "choose A, B or a tie";
  }

  focus() {
    this.cards[this.current].card.focus({ preventScroll: true });
  }

  get hasArrows() {
    return true;
  }

  undo() {
    const former = this.former.pop();
    if (former) this.#say(former);
    return Boolean(former);
  }

  key(event) {
    if (event.altKey) return false;
    const key = event.key.toLowerCase();
    if (key === "a") this.#prefer(0);
    else if (key === "b") this.#prefer(1);
    else if (key === "t") this.choose([this.names]);
    else if (key === "f") event.shiftKey ? this.#markBoth() : this.#mark(this.current);
    else if (key === "o") toggleAll(this.texts);
    else if (this.degrees[Number(key) - 1]) this.#grade(this.host.degrees[Number(key) - 1]);
    else if (key === "arrowleft" || key === "arrowup") this.cards[0].card.focus();
    else if (key === "arrowright" || key === "arrowdown") this.cards[1].card.focus();
    else return false;
    return true;
  }

  choose(levels) {
    this.former.push(this.said);
    this.#say({ levels, unusable: {}, degree: null });
    if (this.answer) this.host.submit();
    else announce(`${letter(this.names.indexOf(levels[0][0]))} is better. By how much?`);
  }

  get #isOneBetter() {
    return this.said.levels.length === 2;
  }

  #grade(degree) {
    if (!this.#isOneBetter) return;
    this.former.push(this.said);
    this.#say({ ...this.said, degree });
    this.host.submit();
  }

  get current() {
    const focused = this.cards.findIndex(({ card }) => card.contains(document.activeElement));
    return Math.max(focused, 0);
  }

  #prefer(index) {
    this.choose([[this.names[index]], [this.names[1 - index]]]);
  }

  async #mark(index) {
    const reason = await askReason(`Why is completion ${letter(index)} unusable?`);
    if (reason) {
      const unusable = { ...this.said.unusable, [this.names[index]]: reason };
      this.former.push(this.said);
      this.#say({ levels: this.names.filter((name) => !(name in unusable)).map((name) => [name]), unusable, degree: null });
    }
    this.cards[index].card.focus();
  }

  async #markBoth() {
    const index = this.current;
    const reason = await askReason("Why are both of them unusable?");
    if (reason) {
      this.former.push(this.said);
      this.#say({ levels: [], unusable: Object.fromEntries(this.names.map((name) => [name, reason])), degree: null });
    }
    this.cards[index].card.focus();
  }

  #say(said) {
    this.said = said;
    this.#show();
    this.host.changed();
  }

  #show() {
    const { levels, unusable, degree } = this.said;
    this.cards.forEach(({ card, better, reason }, index) => {
      const name = this.names[index];
      const isBest = levels.length > 0 && levels[0].length === 1 && levels[0][0] === name;
      better.setAttribute("aria-pressed", String(isBest));
      card.dataset.state = name in unusable ? "unusable" : "unranked";
      card.setAttribute("aria-label", `Completion ${letter(index)}${name in unusable ? `, unusable: ${unusable[name]}` : ""}`);
      reason.textContent = unusable[name] ?? "";
    });
    this.tie.setAttribute("aria-pressed", String(levels.length > 0 && levels[0].length === 2));
    this.degrees.forEach((button, index) => {
      button.disabled = !this.#isOneBetter;
      button.setAttribute("aria-pressed", String(this.host.degrees[index] === degree));
    });
  }

  #degree(degree, index) {
    const words = `${degree.charAt(0).toUpperCase()}${degree.slice(1).replaceAll("_", " ")} `;
    return element("button", { class: "choose", onclick: () => this.#grade(degree) }, words, element("kbd", {}, String(index + 1)));
  }

  #card(name, index) {
    const label = letter(index);
    const reason = element("span", { class: "reason" });
    const better = element("button", { class: "choose", onclick: () => this.#prefer(index) }, `${label} is better `, element("kbd", {}, label));
    const mark = element("button",
      { class: "small-button", "aria-label": `Mark unusable: completion ${label}`, onclick: () => this.#mark(index) }, "Unusable");
    const card = element("article", { class: "card", tabindex: "0", "data-id": name },
      element("div", { class: "card-head" }, element("span", { class: "letter" }, label), reason,
        element("span", { class: "card-buttons" }, mark)),
      this.texts[index].root, better);
    return { card, better, reason };
  }
}

function nothing() {
  return { levels: [], unusable: {}, degree: null };
}

function saidIn({ levels, unusable, degree }) {
  return { levels, unusable, degree };
}
