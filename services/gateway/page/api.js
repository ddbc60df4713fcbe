// Owns the calls to the API: who the listener is, problems as errors, the progress stream over fetch.

const KEEP = { token: "parcours.token", browser: "parcours.browser" };
let token = sessionStorage.getItem(KEEP.token);

export class ApiProblem extends Error {
  constructor(status, code, retryAfter) {
    super(code);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

export function useToken(text) {
  token = text;
  sessionStorage.setItem(KEEP.token, text);
}

// The embedded stack gives a token to any browser; elsewhere the route does not exist and the page asks for one.
export async function startSession() {
  let browser = localStorage.getItem(KEEP.browser);
  if (!browser) {
    browser = randomId();
    localStorage.setItem(KEEP.browser, browser);
  }
  const answer = await fetch("/v1/demo/session", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ browser }),
  });
  if (!answer.ok) return false;
  useToken((await answer.json()).token);
  return true;
}

export const isKnown = () => Boolean(token);

export async function call(method, path, { body, headers = {}, again = true } = {}) {
  const answer = await fetch(path, {
    method,
    headers: { ...bearer(), ...(body ? { "content-type": "application/json" } : {}), ...headers },
    body: body ? JSON.stringify(body) : undefined,
  });
  if (answer.ok) return answer.json();
  if (answer.status === 401 && again && (await startSession())) return call(method, path, { body, headers, again: false });
  throw await problemOf(answer);
}

// Yields {event, id, data} for ever; comes back by itself with the last id, until the signal aborts.
export async function* follow(runId, signal) {
  let last = null;
  let wait = 1000;
  while (!signal.aborted) {
    try {
      const headers = { ...bearer(), ...(last === null ? {} : { "last-event-id": last }) };
      const answer = await fetch(`/v1/runs/${runId}/events`, { headers, signal });
      if (answer.status === 401) await startSession();
      if (!answer.ok) throw await problemOf(answer);
      wait = 1000;
      for await (const frame of frames(answer.body)) {
        if (frame.retry) wait = frame.retry;
        if (frame.id) last = frame.id;
        if (frame.event) yield frame;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiProblem && (error.status === 403 || error.status === 404)) throw error;
      wait = error.retryAfter ? error.retryAfter * 1000 : Math.min(wait * 2, 15000);
    }
    await new Promise((done) => setTimeout(done, wait + Math.random() * 500));
  }
}

async function* frames(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      text += value;
      let end;
      while ((end = text.indexOf("\n\n")) >= 0) {
        yield parsed(text.slice(0, end));
        text = text.slice(end + 2);
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

function parsed(block) {
  const frame = {};
  for (const line of block.split("\n")) {
    const at = line.indexOf(": ");
    if (at <= 0) continue;
    const name = line.slice(0, at);
    const value = line.slice(at + 2);
    if (name === "data") frame.data = JSON.parse(value);
    else if (name === "retry") frame.retry = Number(value);
    else frame[name] = value;
  }
  return frame;
}

async function problemOf(answer) {
  const document = await answer.json().catch(() => ({}));
  return new ApiProblem(answer.status, document.code ?? "unknown", Number(answer.headers.get("retry-after")) || 0);
}

const bearer = () => (token ? { authorization: `Bearer ${token}` } : {});

// crypto.randomUUID exists only on https and localhost; the page may be reached by an address of the house.
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
