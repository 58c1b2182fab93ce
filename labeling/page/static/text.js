// A text as people read it, formatted or as it is written. A long one is folded until it is opened, by its button or by a key.

import { element } from "./dom.js";

const FOLDED_PIXELS = 240; // task.css folds to this height
const SPARED_PIXELS = 80; // less is not worth folding

const written = new WeakMap(); // an element with a text -> what shows it anew
let isPlain = false;

// An element with a text: {text, html}, the HTML made by the server (labeling/page/markdown.py), in which nothing runs.
export function words({ text, html }) {
  const made = element("div");
  const show = () => {
    made.className = isPlain ? "text as-written" : "text formatted";
    if (isPlain) made.textContent = text;
    else made.innerHTML = html;
  };
  made.dir = "auto";
  written.set(made, show);
  show();
  return made;
}

export function showPlain(now) {
  isPlain = now;
  document.querySelectorAll(".text").forEach((one) => written.get(one)());
}

export class Text {
  // `label`: what it is the text of, for those who listen.
  constructor(one, label) {
    this.words = words(one);
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
