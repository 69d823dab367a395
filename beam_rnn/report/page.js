"use strict";
const $ = (selector, inside = document) => [...inside.querySelectorAll(selector)];
const find = document.getElementById("find"), only = document.getElementById("only");
const count = document.getElementById("count"), main = document.querySelector("main");
const texts = new Map(); // what is found in each article: its title, its text
const parts = (a) => [a.querySelector("h2").firstChild, a.querySelector(".text")];

function open(a, yes) {
  const more = a.querySelector(".more");
  a.classList.toggle("open", yes);
  more.textContent = yes ? "Show less" : "Show all";
  more.setAttribute("aria-expanded", yes);
}

function enter(a) {
  const text = a.querySelector(".text");
  texts.set(a, parts(a).map((part) => (part ? part.textContent.toLowerCase() : "")));
  a.classList.toggle("short", text.textContent.length < 420 &&
    text.scrollHeight <= text.clientHeight + 4);
  open(a, false);
  a.querySelector(".more").onclick = () => open(a, !a.classList.contains("open"));
}

// The places of a word, which may lie across several marks.
function ranges(a, word) {
  const out = [];
  parts(a).forEach((part, k) => {
    if (!part) return;
    const nodes = [], ends = [];
    let end = 0;
    if (part.nodeType === Node.TEXT_NODE) {
      nodes.push(part);
      ends.push(part.length);
    } else {
      const walker = document.createTreeWalker(part, NodeFilter.SHOW_TEXT);
      for (let n; (n = walker.nextNode());) {
        nodes.push(n);
        ends.push((end += n.length));
      }
    }
    const at = (i) => {
      const n = ends.findIndex((e) => i <= e);
      return [nodes[n], i - (n ? ends[n - 1] : 0)];
    };
    const text = texts.get(a)[k];
    for (let i = -1; (i = text.indexOf(word, i + 1)) >= 0;) {
      const range = new Range();
      try {
        range.setStart(...at(i));
        range.setEnd(...at(i + word.length));
        out.push(range);
      } catch { /* a letter whose lower case is longer */ }
    }
  });
  return out;
}

let asked = "";
function filter() {
  const word = find.value.trim().toLowerCase(), found = [], changed = word !== asked;
  asked = word;
  let shown = 0;
  for (const [a, said] of texts) {
    const hit = (!word || said.some((text) => text.includes(word))) &&
      (!only.value || Number(a.dataset[only.value]) > 0);
    a.hidden = !hit;
    shown += hit;
    if (word && hit) {
      found.push(...ranges(a, word));
      open(a, true);
    } else if (changed) open(a, false);
  }
  for (const row of $("[data-failure]"))
    row.hidden = word && !row.textContent.toLowerCase().includes(word);
  count.textContent = (shown < texts.size ? `${shown} of ` : "") + `${texts.size} stream${texts.size === 1 ? "" : "s"}`;
  if (window.CSS && CSS.highlights) CSS.highlights.set("found", new Highlight(...found));
}

function readout(event) {
  const plot = event.target.closest(".plot");
  if (!plot) return;
  const chart = plot.closest(".chart"), spans = JSON.parse(chart.dataset.spans);
  const note = chart.querySelector("output"), box = plot.getBoundingClientRect();
  note.dataset.note ??= note.textContent;
  plot.querySelector("i")?.remove();
  if (event.type === "pointerout" || !spans.length) {
    note.textContent = note.dataset.note;
    return;
  }
  const seconds = ((event.clientX - box.left) / box.width) * spans.at(-1)[1];
  const span = spans.find(([, end]) => seconds <= end) ?? spans.at(-1);
  const line = plot.appendChild(document.createElement("i"));
  line.style.left = `${event.clientX - box.left}px`;
  const value = span[2].toLocaleString("en", { maximumSignificantDigits: 4 });
  note.textContent = `${value} at ${seconds.toFixed(1)} s`;
}

// A served page: its parts come as they change. What the server sends is escaped there.
function follow(address) {
  const state = document.getElementById("state"), source = new EventSource(address);
  const say = (text, ended) => {
    state.textContent = text;
    state.classList.toggle("ended", ended);
  };
  source.addEventListener("parts", (event) => {
    const sent = JSON.parse(event.data);
    for (const [id, html] of Object.entries(sent.parts))
      document.getElementById(id).innerHTML = html;
    for (const [stream, html] of Object.entries(sent.articles)) {
      const before = $("article", main).find((a) => a.dataset.stream === stream);
      const holder = document.createElement("template");
      holder.innerHTML = html;
      const a = holder.content.querySelector("article");
      const wasOpen = before?.classList.contains("open");
      if (before) {
        texts.delete(before);
        before.replaceWith(a);
      } else main.append(a);
      enter(a);
      if (wasOpen) open(a, true);
    }
    filter();
    say("live", false);
  });
  source.addEventListener("ended", () => {
    source.close();
    say("ended", true);
  });
  source.onerror = () => say("not connected", true);
}

$("article").forEach(enter);
let wait;
find.oninput = () => {
  clearTimeout(wait);
  wait = setTimeout(filter, 120);
};
only.onchange = filter;
for (const button of $("[data-find]"))
  button.onclick = () => {
    find.value = button.dataset.find;
    filter();
    find.focus();
    main.scrollIntoView();
  };
const toggle = (button, name, inverse) => {
  button.onclick = () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", on);
    document.body.classList.toggle(name, on !== inverse);
  };
};
for (const button of $("[data-kind]")) toggle(button, `off-${button.dataset.kind}`, true);
for (const button of $("#named")) toggle(button, "named", false);
for (const type of ["pointermove", "pointerout"])
  document.getElementById("charts").addEventListener(type, readout);
filter();
if (document.body.dataset.live) follow(document.body.dataset.live);
