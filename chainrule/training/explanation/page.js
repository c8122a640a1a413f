"use strict";
// Every example stands in the page as an article; this shows one at a time and lights up numbers.
const articles = [...document.querySelectorAll("article")];
const slider = document.querySelector("input");
const button = document.querySelector("button");
const told = document.querySelector("footer");
const hint = told.textContent;
let frozen = null;
let pointer = "";

const visible = () => articles.find((article) => !article.hidden);
const numbers = (within) => [...within.querySelectorAll("data")];

function clear() {
  for (const marked of document.querySelectorAll(".source, .chosen")) {
    marked.classList.remove("source", "chosen");
  }
}

function choose(number) {
  clear();
  number.classList.add("chosen");
  const others = numbers(visible()).filter((other) => other !== number && other.dataset.name);
  const named = (source) => others.filter(
    ({ dataset: { name } }) => name === source || name.startsWith(source + "."));
  for (const source of (number.dataset.from || "").split(" ").filter(Boolean)) {
    // Of a large array only a few numbers are shown: if not this one, those of its array.
    const exact = named(source);
    const found = exact.length ? exact : named(source.split(".")[0]);
    found.forEach((other) => other.classList.add("source"));
  }
  const rule = number.dataset.rule ? "  |  " + number.dataset.rule : "";
  told.textContent = number.value + rule;
}

function release() {
  clear();
  told.textContent = hint;
}

// Beside each number that differs from the frozen example: which way it went, and what it was.
function compare() {
  for (const number of numbers(document)) {
    delete number.dataset.was;
  }
  button.setAttribute("aria-pressed", String(frozen !== null));
  button.textContent = frozen ? button.dataset.stop : button.dataset.start;
  document.querySelector("#compared").textContent = frozen ? frozen.label : "";
  if (!frozen || visible() === frozen.article) {
    return;
  }
  for (const number of numbers(visible())) {
    const before = frozen.values.get(number.dataset.name);
    if (before && before.value !== number.value) {
      const up = Number(number.value) > Number(before.value);
      number.dataset.was = (up ? "\u25b2\u00a0" : "\u25bc\u00a0") + before.textContent;
    }
  }
}

function show(index) {
  release();
  articles.forEach((article, i) => { article.hidden = i !== index; });
  slider.value = index;
  slider.setAttribute("aria-valuetext", articles[index].dataset.title);
  document.querySelector("output").textContent = articles[index].dataset.title;
  compare();
}

function freeze() {
  const article = visible();
  const values = new Map(numbers(article).map((number) => [number.dataset.name, number]));
  values.delete(undefined);
  const label = button.dataset.compared + " " + article.dataset.title;
  frozen = frozen ? null : { article, values, label };
  compare();
}

// The arrow keys go through the numbers of the block that has the focus.
function walk(event) {
  const section = event.target.closest("section");
  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  if (!section || !(event.key in steps)) {
    return;
  }
  const all = numbers(section);
  const at = all.findIndex((number) => number.classList.contains("chosen"));
  const next = at < 0 ? 0 : Math.min(Math.max(at + steps[event.key], 0), all.length - 1);
  if (all.length) {
    event.preventDefault();
    choose(all[next]);
    all[next].scrollIntoView({ block: "nearest" });
  }
}

slider.addEventListener("input", () => show(Number(slider.value)));
button.addEventListener("click", freeze);
document.addEventListener("keydown", walk);
document.addEventListener("pointermove", (event) => {
  const number = event.target.closest("data");
  // A pointer that rests while the page scrolls below it chooses nothing.
  const place = event.screenX + "," + event.screenY;
  if (number && place !== pointer) {
    choose(number);
  }
  pointer = place;
});
document.addEventListener("click", (event) => {
  const number = event.target.closest("data");
  if (number) {
    choose(number);
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    release();
  }
});
show(articles.findIndex((article) => !article.hidden));
