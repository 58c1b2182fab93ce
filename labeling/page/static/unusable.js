// The dialog that asks why completions are unusable.

import { byId } from "./dom.js";
import { areShortcutsOn } from "./switches.js";

// The reason, or null when it was closed without one. It is there at once (the dialog's `close` event comes later): who
// types on quickly is not interrupted by what follows.
export function askReason(question) {
  const dialog = byId("unusable");
  byId("unusable-heading").textContent = question;
  return new Promise((resolve) => {
    const listening = new AbortController();
    const end = (reason) => {
      listening.abort();
      dialog.close();
      resolve(reason);
    };
    const options = { signal: listening.signal };
    dialog.addEventListener("click", (event) => {
      const button = event.target.closest("[data-reason]");
      if (button) end(button.dataset.reason);
      else if (event.target.closest("#close-unusable")) end(null);
    }, options);
    dialog.addEventListener("keydown", (event) => {
      const button = dialog.querySelectorAll("[data-reason]")[Number(event.key) - 1];
      if (!button || !areShortcutsOn()) return;
      event.stopPropagation(); // the dialog is closed now: the page would take the key for its own
      end(button.dataset.reason);
    }, options);
    dialog.addEventListener("close", () => end(null), options);
    dialog.showModal();
  });
}
