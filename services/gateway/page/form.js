// Owns the questions before a run: what may be chosen comes from the service, nothing but the preset is required.

import { build, at } from "/assets/dom.js";
import { currentLocale, inLocale, INTENSITIES, say } from "/assets/words.js";

const LABELLED = ["0", "5", "10"]; // wordings between them differ between published versions of the scale

const MIDDLE = "0.6"; // "rather": what a word alone means

let offered = { presets: [], styles: [], emotions: [], suds: null };
let presetChosen = false; // by hand: a suggestion no longer replaces it

export const presetTitle = (key) => inLocale(offered.presets.find((preset) => preset.key === key)?.title) || key;

export function offer(found) {
  offered = { ...offered, ...found };
}

export function speakForm() {
  options(at("preset"), offered.presets.map((preset) => [preset.key, `${inLocale(preset.title)} (${preset.minutes} min)`]));
  const words = offered.emotions.map((emotion) => [emotion.label, inLocale(emotion.title)]);
  words.sort((one, two) => one[1].localeCompare(two[1], currentLocale()));
  options(at("emotion"), [["", say("emotion.none")], ...words]);
  options(at("intensity"), INTENSITIES.map((value) => [value, say(`intensity.${value}`)]), MIDDLE);
  options(at("style"), [["", say("style.auto")], ...offered.styles.map((style) => [style.key, inLocale(style.title)])]);
  if (!offered.suds) return;
  at("suds-question").textContent = inLocale(offered.suds.question);
  for (const value of LABELLED) at(`suds-${value}`).textContent = inLocale(offered.suds.labels[value]);
  for (const input of at("suds").querySelectorAll("input")) {
    const word = LABELLED.includes(input.value) ? `, ${inLocale(offered.suds.labels[input.value])}` : "";
    input.setAttribute("aria-label", input.value + word);
  }
}

export function wireForm() {
  for (let value = 0; value <= 10; value += 1) {
    const input = build("input", { type: "radio", name: "suds", value: String(value) });
    at("suds").append(build("label", {}, input, build("span", { textContent: String(value) })));
  }
  at("suds-clear").addEventListener("click", () => {
    const chosen = suds();
    if (chosen) chosen.checked = false;
  });
  at("preset").addEventListener("change", () => { presetChosen = true; });
  at("emotion").addEventListener("change", () => {
    const suggested = offered.emotions.find((emotion) => emotion.label === at("emotion").value)?.preset;
    if (suggested && !presetChosen) at("preset").value = suggested;
    at("intensity").disabled = !at("emotion").value;
  });
}

// What was answered; what was skipped is not sent.
export function wish() {
  const asked = { presetKey: at("preset").value, locale: currentLocale() };
  if (at("emotion").value) asked.emotionState = `${at("emotion").value}-${at("intensity").value}`;
  if (suds()) asked.sudsStart = Number(suds().value);
  if (at("style").value) asked.style = at("style").value;
  if (at("gentle").checked) asked.arc = "gentle";
  return asked;
}

const suds = () => at("suds").querySelector("input:checked");

function options(select, pairs, first = "") {
  const kept = select.value || first;
  select.replaceChildren(...pairs.map(([value, textContent]) => build("option", { value, textContent })));
  if (pairs.some(([value]) => value === kept)) select.value = kept;
}
