"""The gallery's page, without its content: `{{title}}` and `{{content}}` (JSON) are put in by preview_gallery."""

TEMPLATE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{title}}</title>
<style>
:root { --ink: #20222a; --paper: #faf9f6; --line: #dedbd3; --grey: #767a82; --hot: #ff40a0; --left: #ff9e1b;
  --right: #24aaff; --middle: #7ac943; --card: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #eceae4; --paper: #191a1e; --line: #34363d; --card: #22242a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
header { position: sticky; top: 0; z-index: 2; padding: 14px 24px 12px; background: var(--paper);
  border-bottom: 1px solid var(--line); display: flex; flex-wrap: wrap; gap: 10px 22px; align-items: center; }
h1 { font-size: 17px; margin: 0; }
.modes { display: inline-flex; border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
button { font: inherit; color: inherit; background: none; border: 0; padding: 5px 14px; cursor: pointer; }
button[aria-pressed=true] { background: var(--ink); color: var(--paper); }
label { color: var(--grey); cursor: pointer; }
#mean { color: var(--grey); }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(250px, 1fr)); gap: 18px;
  padding: 20px 24px 40px; }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 10px; overflow: hidden; }
.frame { position: relative; cursor: pointer; background: #000; line-height: 0; }
.frame img { width: 100%; image-rendering: auto; }
svg { position: absolute; inset: 0; width: 100%; height: 100%; }
figcaption { padding: 9px 12px 11px; font-size: 13px; }
.tag { font-weight: 600; }
.theta { color: var(--grey); font-variant-numeric: tabular-nums; }
.bars { margin-top: 6px; display: grid; grid-template-columns: auto 1fr auto; gap: 2px 8px;
  align-items: center;
  font-size: 12px; color: var(--grey); font-variant-numeric: tabular-nums; }
.bar { height: 7px; border-radius: 4px; background: var(--grey); min-width: 2px; }
.bar.chosen { background: var(--hot); }
p.hint { color: var(--grey); margin: 0; font-size: 13px; }
</style>
<header>
  <h1>{{title}}</h1>
  <span class="modes" id="modes"></span>
  <label><input type="checkbox" id="joints" checked> annotated joints</label>
  <label id="predictedlabel"><input type="checkbox" id="predicted"> predicted</label>
  <label><input type="checkbox" id="outlines" checked> part outlines</label>
  <span id="mean"></span>
  <p class="hint">space or a click flips; 1, 2, 3 choose</p>
</header>
<main id="people"></main>
<script id="content" type="application/json">{{content}}</script>
<script>
const data = JSON.parse(document.getElementById('content').textContent);
const [high, wide] = data.size;
const colours = {'-1': 'var(--right)', '0': 'var(--middle)', '1': 'var(--left)'};
const options = {joints: true, predicted: false, outlines: true};
let current = data.views.length - 1;
const chosen = data.people.map(() => current);

function svg(name, attributes) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  return node;
}
function skeleton(layer, points, seen, dashed) {
  const width = Math.max(high, wide) / 80;
  for (const [a, b] of data.edges) {
    if (!seen[a] || !seen[b]) continue;
    const side = data.side[a] === data.side[b] ? data.side[a]
      : (data.side[a] * data.side[b] === 0 ? data.side[a] + data.side[b] : 0);
    const line = {x1: points[a][0], y1: points[a][1], x2: points[b][0], y2: points[b][1], 'stroke-linecap': 'round'};
    if (!dashed) layer.append(svg('line', {...line, stroke: '#20222a', 'stroke-width': width * 1.9}));
    const style = {stroke: colours[side], 'stroke-width': seen[a] > 1 && seen[b] > 1 ? width : width * 0.5};
    if (dashed) style['stroke-dasharray'] = width * 1.2 + ' ' + width * 1.6;
    layer.append(svg('line', {...line, ...style}));
  }
  points.forEach(([x, y], j) => {
    if (!seen[j]) return;
    layer.append(svg('circle', {cx: x, cy: y, r: width * 0.9, fill: seen[j] > 1 ? colours[data.side[j]] : '#20222a',
      stroke: seen[j] > 1 ? '#20222a' : colours[data.side[j]], 'stroke-width': width * 0.35}));
  });
}
function number(v) { return (v >= 0 ? '+' : '\\u2212') + Math.abs(v).toFixed(2); }
function show(i) {
  const person = data.people[i], view = person.views[chosen[i]];
  const figure = document.getElementById('person-' + i);
  figure.dataset.view = view.name;
  figure.querySelector('img').src = view.src;
  const layer = figure.querySelector('svg');
  layer.replaceChildren();
  if (options.outlines) for (const polygon of view.outlines) {
    const points = polygon.map(p => p.join(',')).join(' ');
    for (const [stroke, width] of [['#20222a', 2.4], ['#ff40a0', 1.1]]) layer.append(svg('polygon',
      {points, fill: 'none', stroke, 'stroke-width': width * Math.max(high, wide) / 200, class: 'outline'}));
  }
  if (options.joints) skeleton(layer, person.joints, person.visible, false);
  if (options.predicted && view.joints) skeleton(layer, view.joints, view.score.map(s => s > 0.15 ? 2 : 0), true);
  const caption = figure.querySelector('figcaption');
  caption.replaceChildren();
  const tag = document.createElement('div');
  tag.className = 'tag';
  tag.textContent = view.name + (view.parts.length ? ': ' + view.parts.map(p => p.type).join(', ') : '');
  caption.append(tag);
  for (const part of view.parts) {
    const line = document.createElement('div');
    line.className = 'theta';
    line.textContent = part.s === undefined ? 'no theta'
      : `s ${part.s.toFixed(2)}  r ${Math.round(part.r) || 0}\\u00b0  tx ${number(part.tx)}  ty ${number(part.ty)}`;
    caption.append(line);
  }
  if (view.loss !== null) {
    const bars = document.createElement('div');
    bars.className = 'bars';
    const most = Math.max(...person.views.map(v => v.loss));
    for (const other of person.views) {
      const [name, bar, loss] = ['span', 'div', 'span'].map(kind => document.createElement(kind));
      name.textContent = other.name;
      bar.className = 'bar ' + other.name;
      bar.style.width = 100 * other.loss / most + '%';
      loss.textContent = (1000 * other.loss).toFixed(2) + 'e-3';
      bars.append(name, bar, loss);
    }
    caption.append(bars);
  }
}
function all(view) {
  current = view;
  chosen.fill(view);
  data.people.forEach((_, i) => show(i));
  document.querySelectorAll('#modes button').forEach((b, k) => b.setAttribute('aria-pressed', k === view));
}
data.views.forEach((name, k) => {
  const button = document.createElement('button');
  button.textContent = name;
  button.onclick = () => all(k);
  document.getElementById('modes').append(button);
});
data.people.forEach((person, i) => {
  const figure = document.createElement('figure');
  figure.id = 'person-' + i;
  figure.innerHTML = `<div class="frame"><img alt=""><svg viewBox="0 0 ${wide} ${high}"></svg></div>
    <figcaption></figcaption>`;
  figure.querySelector('.frame').onclick = () => { chosen[i] = (chosen[i] + 1) % data.views.length; show(i); };
  document.getElementById('people').append(figure);
});
for (const name in options) {
  const box = document.getElementById(name);
  box.onchange = () => { options[name] = box.checked; data.people.forEach((_, i) => show(i)); };
}
const losses = data.views.map((_, k) => data.people.map(p => p.views[k].loss));
if (losses[0][0] === null) document.getElementById('predictedlabel').hidden = true;
else document.getElementById('mean').textContent = 'mean loss: ' + data.views.map((name, k) =>
  name + ' ' + (1000 * losses[k].reduce((a, b) => a + b) / losses[k].length).toFixed(2) + 'e-3').join(', ');
addEventListener('keydown', event => {
  if (event.key === ' ') { event.preventDefault(); all((current + 1) % data.views.length); }
  const k = Number(event.key) - 1;
  if (k >= 0 && k < data.views.length) all(k);
});
all(current);
</script>
</html>
"""
