// Talking to the server: one POST, and one that is repeated until it is answered.

const TIMEOUT_MS = 30_000;
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 30_000;

// {status, data}, or null when there was no answer, or one that says "later".
export async function post(url, body, formToken) {
  try {
    const answer = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Form-Token": formToken },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (answer.status >= 500 || answer.status === 429) return null;
    const isJson = answer.headers.get("Content-Type")?.startsWith("application/json");
    return { status: answer.status, data: isJson ? await answer.json() : { error: await answer.text() } };
  } catch {
    return null;
  }
}

// As `post`, again and again until there is an answer; `waiting()` is called before each pause.
export async function postUntilAnswered(url, body, formToken, waiting) {
  for (let wait = FIRST_WAIT_MS; ; wait = Math.min(wait * 2, LONGEST_WAIT_MS)) {
    const reply = await post(url, body, formToken);
    if (reply) return reply;
    waiting();
    await pause(wait);
  }
}

function pause(milliseconds) {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
    window.addEventListener("online", resolve, { once: true });
  });
}
