// The frame around a task: loads it, takes keys and buttons, saves what is said, and goes on to the next one.

import { Choice } from "./choice.js";
import { byId, element } from "./dom.js";
import { draftOf, dropTask, dropUnsent, keepDraft, keepUnsent, submissionOf, unsentOf } from "./kept.js";
import { isSecondClick, isSecondPress } from "./presses.js";
import { Ranking } from "./ranking.js";
import { Rating } from "./rating.js";
import { post, postUntilAnswered } from "./server.js";
import { areShortcutsOn, isOn, offerSwitch } from "./switches.js";
import { showPlain, words } from "./text.js";

const { kind, batch, texts, formToken, noteKey, degrees } = byId("task").dataset;
const SIDE_BY_SIDE = "rein.side-by-side";
const MOST_SIDE_BY_SIDE = 4;
const isWide = window.matchMedia("(min-width: 60rem)");
const VIEWS = { ranking: Ranking, choice: Choice, thumbs: Rating, yes_no: Rating };

let task = null; // what is judged now
let view = null; // how it is judged
let last = null; // the submission that undo opens again
let isBusy = true; // an answer is under way
let isUnsaved = false; // it has not arrived yet

// --- showing -------------------------------------------------------------------------------------------------------

function show({ task: next, progress, trial, is_unqualified: isUnqualified, code, last: submission, read_instructions: mustRead }) {
  if (mustRead) {
    location.reload(); // the server shows them
    return;
  }
  setBusy(false);
  task = next;
  last = submission;
  showProgress(progress, trial);
  showEnd(isUnqualified, code);
  byId("judging").hidden = !task;
  byId("done").hidden = Boolean(task);
  byId("reopened").hidden = !task?.former;
  for (const [id, isMeant] of [["counts", task?.judged_by], ["taken-back", !task?.judged_by], ["keep", task?.judged_by]]) byId(id).hidden = !isMeant;
  for (const id of ["add-note", "submit"]) if (byId(id)) byId(id).hidden = !task;
  byId("skip").hidden = !task || task.judged_by;
  if (task) showTask();
  else view = null;
}

function showTask() {
  const draft = draftOf(task.assignment);
  showPrompt(task.turns);
  byId("note").value = draft?.note ?? task.former?.note ?? "";
  byId("note-box").hidden = !byId("note").value;
  view = new VIEWS[kind](byId("work"), task, { draft: draft?.view, changed, submit, isSideBySide, degrees: degrees.split(" ").filter(Boolean) }, kind);
  showWhetherReady();
  showWidth();
  window.scrollTo(0, 0);
  view.focus();
}

const fitsSideBySide = () => kind === "ranking" && isWide.matches && task?.completions.length <= MOST_SIDE_BY_SIDE;
const isSideBySide = () => Boolean(fitsSideBySide() && isOn(SIDE_BY_SIDE, false));

function showWidth() {
  byId("side-by-side").hidden = !fitsSideBySide();
  document.body.classList.toggle("wide", isSideBySide());
}

function showWidthAgain() {
  showWidth();
  if (view instanceof Ranking) view.layOut();
}

// Of a conversation each turn below who said it, and the last one, which is to be answered, in view.
function showPrompt(turns) {
  const [first, ...more] = turns;
  const told = (turn) => element("div", { class: `turn ${turn.speaker.toLowerCase()}` }, element("b", {}, turn.speaker), words(turn));
  byId("prompt").replaceChildren(...(more.length ? turns.map(told) : [words(first)]));
  byId("prompt").scrollTop = more.length ? byId("prompt").scrollHeight : 0;
}

function showProgress({ done, skipped, left }, trial) {
  byId("progress-bar").max = trial ? trial.of : Math.max(done + left, 1);
  byId("progress-bar").value = trial ? trial.done : done;
  byId("progress-text").textContent = trial
    ? `Qualification: ${trial.done} of ${trial.of} done`
    : `${done} done, ${left} left${skipped ? `, ${skipped} skipped` : ""}`;
}

function showEnd(isUnqualified, code) {
  byId("done-heading").textContent = isUnqualified ? "This batch is not for you" : "Nothing left to judge for you";
  byId("done-text").textContent = isUnqualified
    ? "Thank you for the tasks you did. Your answers differ too much from what its instructions ask for, so that you are given no more of it."
    : "Thank you! Everything you submitted is saved.";
  byId("code-box").hidden = !code;
  byId("code").textContent = code ?? "";
}

function showError(message) {
  byId("error").hidden = !message;
  byId("error").textContent = message ?? "";
}

function showWhetherReady() {
  if (byId("submit")) byId("submit").disabled = isBusy || !view?.answer;
}

function setBusy(now) {
  isBusy = now;
  byId("judging").inert = now;
  for (const id of ["undo", "skip", "keep", "take-back"]) byId(id).disabled = now;
  showWhetherReady();
}

function setStatus(text, isWarning = false) {
  byId("status").textContent = text;
  byId("status").classList.toggle("warning", isWarning);
}

// --- saying something ----------------------------------------------------------------------------------------------

function changed() {
  keepDraft(task.assignment, { view: view.draft, note: byId("note").value });
  showWhetherReady();
  setStatus("");
}

function submit() {
  if (isBusy || !task) return;
  if (!view.answer) {
    setStatus(view.missing);
    return;
  }
  changed();
  const body = { submission: submissionOf(task.assignment), note: byId("note").value, ...view.answer };
  send({ url: `/api/assignments/${task.assignment}/judgement`, body, assignment: task.assignment, done: "Saved" });
}

function skip(done = "Skipped") {
  if (isBusy || !task) return;
  const body = { submission: submissionOf(task.assignment), takes_back: task.judged_by };
  send({ url: `/api/assignments/${task.assignment}/skip`, body, assignment: task.assignment, done });
}

// What was said before stands, and nothing of what was changed since: no key on the way back costs an answer.
async function keep() {
  if (isBusy || !task) return;
  setBusy(true);
  dropTask(task.assignment);
  setStatus("Kept as it was");
  await load();
}

// Sends until the server has answered. Until then it is kept, also over a reload or a sign-in.
async function send(unsent) {
  keepUnsent(batch, unsent);
  setBusy(true);
  isUnsaved = true;
  setStatus("Saving …");
  const reply = await postUntilAnswered(unsent.url, unsent.body, formToken, () => setStatus("Not saved yet – retrying", true));
  isUnsaved = false;
  if (reply.status === 401) {
    askToSignIn();
    return;
  }
  dropUnsent(batch);
  if (reply.status !== 200) {
    await refuse(reply.data.error);
    return;
  }
  dropTask(unsent.assignment);
  showError(null);
  setStatus(unsent.done);
  show(reply.data.next);
}

async function refuse(message) {
  showError(`Not saved. ${message}`);
  setStatus("Not saved", true);
  if (!task) await load();
  else {
    setBusy(false);
    view.focus();
  }
}

function askToSignIn() {
  showError("You are signed out. What you said is kept here: ");
  const link = document.createElement("a");
  link.href = `/sign-in?next=${location.pathname}`;
  link.textContent = "sign in again";
  byId("error").append(link);
  setStatus("Not saved yet", true);
}

async function load() {
  const waiting = () => setStatus("No connection – retrying", true);
  const reply = await postUntilAnswered(`/api/batches/${batch}/next`, {}, formToken, waiting);
  if (reply.status === 401) location.reload();
  else if (reply.status !== 200) showError(reply.data.error);
  else show(reply.data);
}

// --- undo ----------------------------------------------------------------------------------------------------------

async function undo() {
  if (isBusy || view?.undo()) return;
  if (!last) {
    setStatus("There is nothing to undo");
    return;
  }
  setBusy(true);
  const reply = await post(`/api/batches/${batch}/reopen`, { submission: last }, formToken);
  setBusy(false);
  if (reply?.status === 401) askToSignIn();
  else if (reply?.status !== 200) showError(`Not undone. ${reply?.data.error ?? "The server does not answer."}`);
  else if (!reply.data.next) {
    setStatus("Not undone: you have judged on elsewhere");
    await load();
  }
  else {
    showError(null);
    setStatus("Open again");
    show(reply.data.next);
  }
}

// --- keys and buttons ----------------------------------------------------------------------------------------------

function onKey(event) {
  if (event.isComposing || document.querySelector("dialog[open]")) return;
  const isCommand = event.ctrlKey || event.metaKey;
  if (event.target === byId("note")) {
    if (event.key === "Escape") view.focus();
    else if (event.key === "Enter" && isCommand) submit();
    return;
  }
  if (wasUsed(event, isCommand)) event.preventDefault();
}

function wasUsed(event, isCommand) {
  const key = event.key.toLowerCase();
  const isArrow = key.startsWith("arrow");
  if (!isCommand && !event.altKey && !areShortcutsOn() && !(isArrow && view?.hasArrows)) return false;
  if (event.repeat) return isArrow && view instanceof Ranking && !isBusy && view.key(event);
  if (isSecondPress(key, task)) return true;
  if (isCommand) {
    if (key === "enter") submit();
    else if (key === "z") undo();
    else return false;
    return true;
  }
  if (event.altKey) return !isBusy && Boolean(task) && view.key(event);
  if (key === "?") byId("instructions").showModal();
  else if (isBusy || (event.target === byId("prompt") && isArrow)) return false;
  else if (key === "u") undo();
  else if (!task) return false;
  else if (key === "p") byId("plain-text").click();
  else if (key === "s") task.judged_by ? keep() : skip();
  else if (key === noteKey.toLowerCase()) openNote();
  else if (key === "enter") return !event.target.closest("button, a, summary") && (submit(), true);
  else return view.key(event);
  return true;
}

function openNote() {
  byId("note-box").hidden = false;
  byId("note").focus();
}

document.addEventListener("keydown", onKey);
document.addEventListener("click", (event) => isSecondClick(event, task) && event.stopPropagation(), { capture: true });
offerSwitch(byId("shortcuts"), "rein.shortcuts", true, (isOn) => document.body.classList.toggle("no-shortcuts", !isOn));
offerSwitch(byId("plain-text"), `rein.plain.${batch}`, texts === "plain", showPlain);
offerSwitch(byId("side-by-side"), SIDE_BY_SIDE, false, showWidthAgain);
isWide.addEventListener("change", showWidthAgain);
// The prompt stays in sight: what scrolls into view stops below it, and above the buttons.
for (const [id, name] of [["prompt-section", "--prompt-height"], ["actions", "--actions-height"]]) {
  const measure = () => document.documentElement.style.setProperty(name, `${byId(id).offsetHeight}px`);
  new ResizeObserver(measure).observe(byId(id));
}
byId("note").addEventListener("input", changed);
byId("submit")?.addEventListener("click", submit);
byId("skip").addEventListener("click", () => skip());
byId("keep").addEventListener("click", keep);
byId("take-back").addEventListener("click", () => skip("Taken back"));
byId("undo").addEventListener("click", undo);
byId("add-note").addEventListener("click", openNote);
byId("open-instructions").addEventListener("click", () => byId("instructions").showModal());
byId("close-instructions").addEventListener("click", () => byId("instructions").close());
window.addEventListener("beforeunload", (event) => isUnsaved && event.preventDefault());

const unsent = unsentOf(batch);
if (unsent) send(unsent);
else load();
