// Rating: one completion, thumbs up or down, or yes or no. One key or button answers and submits.

import { element } from "./dom.js";
import { Text } from "./text.js";

const ANSWERS = {
  thumbs: [
    { answer: "up", key: "arrowup", shown: "↑", label: "Thumbs up" },
    { answer: "down", key: "arrowdown", shown: "↓", label: "Thumbs down" },
  ],
  yes_no: [
    { answer: "yes", key: "y", shown: "Y", label: "Yes" },
    { answer: "no", key: "n", shown: "N", label: "No" },
  ],
};

export class Rating {
  // `host` as in ranking.js.
  constructor(root, task, host, kind) {
    this.host = host;
    this.said = host.draft ?? task.former?.answer ?? null;
    this.buttons = ANSWERS[kind].map((one) => ({
      ...one,
      button: element("button", { class: "choose", onclick: () => this.#choose(one.answer) },
        `${one.label} `, element("kbd", {}, one.shown)),
    }));
    this.text = new Text(task.completions[0], "the completion");
    this.card = element("article", { class: "card", tabindex: "0", "aria-label": "Completion" }, this.text.root);
    const choices = element("div", { class: "answers" }, ...this.buttons.map(({ button }) => button));
    root.replaceChildren(element("div", { class: "rating" }, this.card, choices));
    this.#show();
  }

  get draft() {
    return this.said;
  }

  get answer() {
    return this.said && { answer: this.said };
  }

  get missing() {
    return "choose an answer";
  }

  focus() {
    this.card.focus({ preventScroll: true });
  }

  get hasArrows() {
    return false; // they answer
  }

  undo() {
    return false; // an answer is submitted at once
  }

  key(event) {
    if (event.altKey) return false;
    const pressed = event.key.toLowerCase();
    const chosen = this.buttons.find(({ key }) => key === pressed);
    if (chosen) this.#choose(chosen.answer);
    else if (pressed === "o") this.text.toggle();
    else return false;
    return true;
  }

  #choose(answer) {
    this.said = answer;
    this.#show();
    this.host.submit();
  }

  #show() {
    for (const { answer, button } of this.buttons) button.setAttribute("aria-pressed", String(answer === this.said));
  }
}
