// Dragging a card by its handle: mouse, pen or finger.

const START_PIXELS = 5; // less is a click
const EDGE_PIXELS = 70; // this near to the window's edge the page scrolls along

// `handlers`: move(x, y) while dragging, the pointer's place in the window; then drop() or cancel().
export function makeDraggable(card, handle, handlers) {
  handle.addEventListener("pointerdown", (event) => {
    if (event.button === 0) new Drag(card, handle, handlers, event);
  });
}

class Drag {
  constructor(card, handle, handlers, event) {
    Object.assign(this, { card, handlers, pointer: event.pointerId, isMoving: false });
    this.start = { x: event.clientX, y: event.clientY, scroll: window.scrollY };
    this.at = { x: event.clientX, y: event.clientY };
    this.listening = new AbortController();
    const options = { signal: this.listening.signal };
    event.preventDefault(); // no text selection
    handle.setPointerCapture(event.pointerId);
    handle.addEventListener("pointermove", (moved) => this.#move(moved), options);
    handle.addEventListener("pointerup", () => this.#end(true), options);
    handle.addEventListener("pointercancel", () => this.#end(false), options);
    window.addEventListener("keydown", (key) => key.key === "Escape" && this.#end(false), options);
  }

  #move(event) {
    this.at = { x: event.clientX, y: event.clientY };
    const far = Math.hypot(this.at.x - this.start.x, this.at.y - this.start.y) >= START_PIXELS;
    if (!this.isMoving && far) {
      this.isMoving = true;
      this.card.classList.add("dragged");
      this.#scrollAlong();
    }
    if (this.isMoving) this.#follow();
  }

  #follow() {
    const x = this.at.x - this.start.x;
    const y = this.at.y - this.start.y + window.scrollY - this.start.scroll;
    this.card.style.transform = `translate(${x}px, ${y}px)`;
    this.handlers.move(this.at.x, this.at.y);
  }

  #scrollAlong() {
    if (this.listening.signal.aborted) return;
    const below = this.at.y - (window.innerHeight - EDGE_PIXELS);
    const above = EDGE_PIXELS - this.at.y;
    const step = below > 0 ? below : above > 0 ? -above : 0;
    if (step) {
      window.scrollBy(0, step / 5);
      this.#follow();
    }
    requestAnimationFrame(() => this.#scrollAlong());
  }

  #end(isDrop) {
    this.listening.abort();
    this.card.classList.remove("dragged");
    this.card.style.transform = "";
    if (!this.isMoving) return;
    if (isDrop) this.handlers.drop();
    else this.handlers.cancel();
  }
}
