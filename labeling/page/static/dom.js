// Small helpers. Text always goes in as text, never as HTML; text.js alone shows HTML, which the server has made of it.

export const byId = (id) => document.getElementById(id);

// An element with attributes, `onclick`, and children (elements or texts).
export function element(tag, { onclick, ...attributes } = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (onclick) {
    made.type = "button";
    made.addEventListener("click", onclick);
  }
  made.append(...children);
  return made;
}

export function announce(text) {
  byId("announcer").textContent = text;
}

export const letter = (index) => String.fromCharCode(65 + index); // A, B, C …

// 128 random bits. (crypto.randomUUID is missing where the page comes by plain HTTP from another machine.)
export function randomKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
