// What this browser tab keeps until the server has it: drafts of tasks, the key of what is said of each, and the answer under way.

import { randomKey } from "./dom.js";

const draftKey = (assignment) => `rein.draft.${assignment}`;
const submissionKey = (assignment) => `rein.submission.${assignment}`;
const unsentKey = (batch) => `rein.unsent.${batch}`;

export const keepDraft = (assignment, draft) => keep(draftKey(assignment), draft);
export const draftOf = (assignment) => kept(draftKey(assignment));

// One key for a task from when it is first sent until the server has confirmed it: what is sent again is known by it.
export function submissionOf(assignment) {
  const key = kept(submissionKey(assignment)) ?? randomKey();
  keep(submissionKey(assignment), key);
  return key;
}

export function dropTask(assignment) {
  sessionStorage.removeItem(draftKey(assignment));
  sessionStorage.removeItem(submissionKey(assignment));
}

// `unsent`: {url, body, assignment}.
export const keepUnsent = (batch, unsent) => keep(unsentKey(batch), unsent);
export const unsentOf = (batch) => kept(unsentKey(batch));
export const dropUnsent = (batch) => sessionStorage.removeItem(unsentKey(batch));

function keep(key, value) {
  sessionStorage.setItem(key, JSON.stringify(value));
}

function kept(key) {
  const text = sessionStorage.getItem(key);
  return text === null ? null : JSON.parse(text);
}
