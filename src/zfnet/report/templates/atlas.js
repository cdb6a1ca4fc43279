// Search, order and arrow keys on a layer's page of the atlas. The page is whole without them.
"use strict";

const sheet = document.querySelector(".atlas");
const maps = [...sheet.children];
const tools = document.querySelector(".tools");
const counted = tools.querySelector("output");

function order() {
  const key = tools.order.value, sign = key === "unit" ? 1 : -1;
  maps.sort((a, b) => sign * (a.dataset[key] - b.dataset[key]) || a.dataset.unit - b.dataset.unit);
  sheet.append(...maps);
}

function find() {
  const words = tools.find.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const map of maps) {
    const text = map.dataset.foundBy;
    map.hidden = !words.every(word => /^\d+$/.test(word) ? map.dataset.unit === word : text.includes(word));
    shown += !map.hidden;
  }
  counted.textContent = shown === maps.length ? `${maps.length} maps` : `${shown} of ${maps.length} maps`;
}

function step(by) {
  const open = maps.filter(map => !map.hidden);
  const here = open.findIndex(map => map.contains(document.activeElement));
  const there = open[here < 0 ? 0 : Math.min(Math.max(here + by, 0), open.length - 1)];
  if (there) there.querySelector("a").focus();
}

tools.hidden = false;
tools.order.addEventListener("input", order);
tools.find.addEventListener("input", find);
tools.addEventListener("submit", event => event.preventDefault());
document.addEventListener("keydown", event => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("input, select")) return;
  if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
    event.preventDefault();
    step(event.key === "ArrowRight" ? 1 : -1);
  }
});
if (tools.order.value !== "unit") order();  // as the browser kept it
find();
