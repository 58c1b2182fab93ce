// Whether single keys mean something here. Who speaks to the computer, or hits keys by chance, switches them off (WCAG 2.1.4, Character
// Key Shortcuts); this browser remembers it. Keys with Ctrl or Alt, and all buttons, work in any case.

const KEPT_AS = "rein.shortcuts";

export const areShortcutsOn = () => localStorage.getItem(KEPT_AS) !== "off";

export function offerSwitch(button) {
  const show = () => {
    button.setAttribute("aria-checked", String(areShortcutsOn()));
    document.body.classList.toggle("no-shortcuts", !areShortcutsOn());
  };
  button.addEventListener("click", () => {
    localStorage.setItem(KEPT_AS, areShortcutsOn() ? "off" : "on");
    show();
  });
  window.addEventListener("storage", show); // another tab has switched
  show();
}
