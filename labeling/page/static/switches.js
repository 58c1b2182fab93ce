// Switches that this browser remembers. One of them: whether single keys mean something here. Who speaks to the computer, or hits keys by chance, switches them off (WCAG 2.1.4, Character
// Key Shortcuts); this browser remembers it. Keys with Ctrl or Alt, and all buttons, work in any case.

export const areShortcutsOn = () => isOn("rein.shortcuts", true);

export const isOn = (name, isOnAtFirst) => (localStorage.getItem(name) ?? (isOnAtFirst ? "on" : "off")) === "on";

// `changed(isOn)` is called at once, too.
export function offerSwitch(button, name, isOnAtFirst, changed) {
  const show = () => {
    button.setAttribute("aria-checked", String(isOn(name, isOnAtFirst)));
    changed(isOn(name, isOnAtFirst));
  };
  button.addEventListener("click", () => {
    localStorage.setItem(name, isOn(name, isOnAtFirst) ? "off" : "on");
    show();
  });
  window.addEventListener("storage", show); // another tab has switched
  show();
}
