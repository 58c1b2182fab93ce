// What this browser tab keeps until the server has it: drafts of tasks, and the answer that is under way.

const draftKey = (assignment) => `rein.draft.${assignment}`;
const unsentKey = (batch) => `rein.unsent.${batch}`;

export const keepDraft = (assignment, draft) => keep(draftKey(assignment), draft);
export const draftOf = (assignment) => kept(draftKey(assignment));
export const dropDraft = (assignment) => sessionStorage.removeItem(draftKey(assignment));

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
