// Owns the page: asks, starts a run, shows its progress and lets it sound.

import { ApiProblem, call, follow, isKnown, randomId, startSession, useToken } from "/assets/api.js";
import { at, build } from "/assets/dom.js";
import { offer, presetTitle, speakForm, wireForm, wish } from "/assets/form.js";
import { Player } from "/assets/player.js";
import { currentLocale, duration, say, switchLocale, tenths } from "/assets/words.js";

const LAST = "parcours.last"; // the run to go back to: ids and fixed texts, nothing that the person said
const REFRESH_MS = 1500; // news come in bursts; the limit is 60 requests a minute
const player = new Player(at("audio"));

const page = {
  run: null, created: null, following: null, refreshing: null,
  pressedAt: 0, firstSound: null, waitForConsent: false, skipped: false,
};

// --- words ---

function speak() {
  document.documentElement.lang = currentLocale();
  for (const element of document.querySelectorAll("[data-say]")) element.textContent = say(element.dataset.say);
  at("language").textContent = say("language");
  at("language").lang = currentLocale() === "fr" ? "en" : "fr";
  speakForm();
  if (page.run) show();
}

// --- asking ---

async function start(event) {
  event.preventDefault();
  busy(true);
  page.pressedAt = performance.now();
  page.firstSound = null;
  const key = randomId(); // a repeated request makes no second run
  await guarded(async () => {
    page.created = await call("POST", "/v1/runs", { body: wish(), headers: { "idempotency-key": key } });
    keep();
    page.waitForConsent = page.created.supportFirst === true; // contacts first, music second
    await open(page.created.runId);
    if (page.waitForConsent) support(true);
    else player.play();
  });
  busy(false);
}

function busy(is) {
  at("start").disabled = is;
  at("start").textContent = say(is ? "starting" : "start");
}

// --- a run ---

function keep() {
  const { runId, notices, contraindications, crisisContacts, estimate } = page.created;
  localStorage.setItem(LAST, JSON.stringify({ runId, notices, contraindications, crisisContacts, estimate }));
}

function kept() {
  try {
    return JSON.parse(localStorage.getItem(LAST));
  } catch {
    return null;
  }
}

async function open(runId) {
  page.following?.abort();
  page.following = new AbortController();
  page.run = await call("GET", `/v1/runs/${runId}`);
  at("ask").hidden = true;
  at("journey").hidden = false;
  at("journey-title").focus();
  know();
  listen(runId, page.following.signal);
}

async function listen(runId, signal) {
  await guarded(async () => {
    for await (const frame of follow(runId, signal)) {
      if (frame.event === "snapshot") {
        page.run = frame.data;
        know();
      } else {
        if (frame.event === "run.ready") announce("said.ready");
        if (frame.event === "segment.failed" && !frame.data.retryable) announce("said.failed");
        refreshSoon(runId);
      }
    }
  });
}

function refreshSoon(runId) {
  page.refreshing ??= setTimeout(async () => {
    page.refreshing = null;
    await guarded(async () => {
      const run = await call("GET", `/v1/runs/${runId}`);
      if (page.run?.id !== run.id) return;
      page.run = run;
      know();
    });
  }, REFRESH_MS / 5);
}

function know() {
  player.update(page.run.segments);
  show();
}

// --- showing ---

function show() {
  const { run, created } = page;
  at("journey-title").textContent = presetTitle(run.presetKey);
  at("brief").textContent = run.brief ?? "";
  at("made").value = run.progress.fraction;
  at("figures").textContent = figures();
  at("resume").hidden = run.status !== "failed";
  const notices = [...(created?.contraindications ?? []), ...(created?.notices ?? [])];
  at("notice-list").replaceChildren(...notices.filter((one) => one.code !== "notice.not_medical")
    .map((one) => build("li", { textContent: one.text })));
  at("notices").hidden = notices.length === 0;
  showSegments();
  showNow();
}

function figures() {
  const { segments, complete } = page.run.progress;
  const parts = [say("figures", { done: complete, all: segments })];
  if (page.firstSound !== null) parts.push(say("first-sound", { n: tenths(page.firstSound) }));
  const all = page.created?.estimate?.readySeconds;
  const left = all && all - (Date.now() - Date.parse(page.run.createdAt)) / 1000;
  if (left > 1 && page.run.status === "creating") parts.push(say("remaining", { n: duration(left) }));
  return parts.join(" · ");
}

function showSegments() {
  const { index } = player.state;
  at("segments").replaceChildren(...page.run.segments.map((segment) => {
    const minutes = say("minutes", { n: Math.round((segment.seconds ?? 0) / 60) });
    const item = build("li", { className: segment.status },
      build("span", { textContent: `${segment.title} · ${minutes}` }),
      build("span", { className: "word", textContent: say(`status.${segment.status}`) }));
    if (segment.index === index) {
      item.setAttribute("aria-current", "step");
      const bar = build("progress", { max: segment.seconds || 1, value: Math.min(player.state.time, segment.seconds || 1) });
      bar.setAttribute("aria-label", segment.title);
      item.append(bar);
    }
    return item;
  }));
}

function showNow() {
  const state = player.state;
  const values = { n: state.index + 1, title: state.title };
  let word = "now.waiting";
  if (state.finished) word = "now.finished";
  else if (state.sounding) word = state.kind === "preview" ? "now.preview" : "now.playing";
  else if (page.skipped) word = "now.skipped";
  else if (!state.wanted) word = "now.paused";
  else if (page.firstSound !== null) word = "now.hold";
  at("now").textContent = say(word, values);
  at("play").textContent = say(state.wanted ? "pause" : "play");
  at("journey").classList.toggle("playing", state.sounding);
}

function announce(key) {
  at("status").textContent = say(key);
}

// --- help and problems ---

function support(shown) {
  const contacts = page.created?.crisisContacts ?? kept()?.crisisContacts
    ?? [{ name: say("support.112"), number: "112", who: "", hours: "" }];
  at("contacts").replaceChildren(...contacts.map((contact) => build("li", {},
    build("a", { href: `tel:${contact.number.replace(/\s/g, "")}`, textContent: contact.number }),
    build("div", { textContent: [contact.name, contact.who, contact.hours].filter(Boolean).join(" · ") }))));
  at("support").hidden = !shown;
  at("help").setAttribute("aria-expanded", String(shown));
  if (shown) at("support-title").focus();
}

function closeSupport() {
  support(false);
  if (page.waitForConsent) {
    page.waitForConsent = false;
    player.play();
  }
}

async function guarded(work) {
  try {
    await work();
    at("problem").hidden = true;
  } catch (error) {
    if (!(error instanceof ApiProblem)) console.error(error);
    complain(error);
  }
}

function complain(error) {
  const status = error instanceof ApiProblem ? error.status : 0;
  const known = [401, 403, 404, 422, 429, 503].includes(status) ? status : "other";
  at("problem").textContent = say(`problem.${known}`, { n: duration(error.retryAfter || 1) });
  at("problem").hidden = false;
  if (status === 401) at("identity").hidden = false;
}

// --- beginning ---

function wire() {
  at("form").addEventListener("submit", start);
  at("language").addEventListener("click", () => { switchLocale(); speak(); });
  at("help").addEventListener("click", () => (at("support").hidden ? support(true) : closeSupport()));
  at("support-close").addEventListener("click", closeSupport);
  at("play").addEventListener("click", () => (player.state.wanted ? player.pause() : player.play()));
  at("volume").addEventListener("input", () => { player.volume = Number(at("volume").value); });
  at("resume").addEventListener("click", () => guarded(async () => {
    await call("POST", `/v1/runs/${page.run.id}/resume`);
    refreshSoon(page.run.id);
  }));
  at("new").addEventListener("click", () => { player.pause(); page.following?.abort(); at("journey").hidden = true; at("ask").hidden = false; at("preset").focus(); });
  at("again").addEventListener("click", () => { page.created = kept(); page.pressedAt = performance.now(); guarded(async () => { await open(page.created.runId); player.play(); }); });
  at("identity-form").addEventListener("submit", (event) => {
    event.preventDefault();
    useToken(at("token").value.trim());
    at("identity").hidden = true;
    at("problem").hidden = true;
  });
  player.volume = Number(at("volume").value);
  player.addEventListener("change", () => { if (page.run) show(); });
  player.addEventListener("time", () => { const bar = at("segments").querySelector("progress"); if (bar) bar.value = player.state.time; });
  player.addEventListener("skipped", () => { page.skipped = true; });
  player.addEventListener("blocked", () => { player.pause(); at("play").textContent = say("continue"); });
  player.addEventListener("broken", () => { if (page.run) refreshSoon(page.run.id); });
  player.addEventListener("sound", () => {
    page.skipped = false;
    if (page.firstSound !== null) return;
    page.firstSound = (performance.now() - page.pressedAt) / 1000;
    announce("said.first");
    show();
  });
}

async function begin() {
  wireForm();
  wire();
  speak();
  if (new URLSearchParams(location.search).get("probe") === "1") {
    player.probe();
    window.parcours = {
      level: () => player.level(), heard: () => player.heard, state: () => player.state, run: () => page.run,
      firstSound: () => page.firstSound,
    };
  }
  at("again").hidden = !kept()?.runId;
  await guarded(async () => {
    if (!isKnown() && !(await startSession())) at("identity").hidden = false;
    offer(await call("GET", "/v1/presets"));
    speak();
  });
}

begin();
