// A text as people read it. A long one is folded until it is opened, by its button or by a key.

import { element } from "./dom.js";

const FOLDED_PIXELS = 240; // task.css folds to this height
const SPARED_PIXELS = 80; // less is not worth folding

export class Text {
  // `label`: what it is the text of, for those who listen.
  constructor({ text }, label) {
    this.words = element("div", { class: "text as-written", dir: "auto" }, text);
    this.button = element("button", { class: "small-button unfold", "aria-label": `Whole text: ${label}`, onclick: () => this.toggle() });
    this.root = element("div", { class: "fold" }, this.words, this.button);
    this.#show(false);
    new ResizeObserver(() => this.#measure()).observe(this.words);
  }

  get isOpen() {
    return this.root.classList.contains("open");
  }

  toggle(isOpen = !this.isOpen) {
    this.#show(isOpen);
  }

  #show(isOpen) {
    this.root.classList.toggle("open", isOpen);
    this.button.textContent = isOpen ? "Fold" : "Whole text";
    this.button.setAttribute("aria-expanded", String(isOpen));
  }

  #measure() {
    this.root.classList.toggle("long", this.words.scrollHeight > FOLDED_PIXELS + SPARED_PIXELS);
  }
}

// Opens all, or folds them if all are open.
export function toggleAll(texts) {
  const isOpen = !texts.every((text) => text.isOpen);
  texts.forEach((text) => text.toggle(isOpen));
}
