// The second of two quick presses was meant for the task that the first one has answered: it must not act on the next, unread one.

const DOUBLE_PRESS_MS = 400;

let former = { key: null, at: -Infinity, task: null };
let clicked = null; // the task of the last single click

export function isSecondPress(key, task) {
  const at = performance.now();
  const isSecond = key === former.key && task !== former.task && at - former.at < DOUBLE_PRESS_MS;
  former = { key, at, task: isSecond ? former.task : task };
  return isSecond;
}

// Of clicks the browser itself counts those that belong together.
export function isSecondClick({ detail }, task) {
  if (detail <= 1) clicked = task;
  return detail > 1 && task !== clicked;
}
