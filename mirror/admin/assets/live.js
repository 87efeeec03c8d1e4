// Brings the page up to date every few seconds. Without it, the page is the same until it is loaded again.
'use strict';

const pause = 3000;
const parts = () => document.querySelectorAll('[data-live]');

// busy says whether somebody is at work in a part: it must not change under their hands.
function busy(part) {
  return part.contains(document.activeElement) || part.querySelector('details[open], :checked') !== null;
}

// takeKeyed leaves what is there in its place, so that pictures are loaded once and nothing moves that need not.
function takeKeyed(part, next) {
  const have = new Map([...part.children].map((child) => [child.dataset.key, child]));
  const want = [...next.children].map((child) => have.get(child.dataset.key) || child);
  for (const child of have.values()) {
    if (!want.includes(child)) child.remove();
  }
  want.forEach((child, i) => {
    if (part.children[i] === child) return;
    child.classList.add('new');
    part.insertBefore(child, part.children[i] || null);
  });
}

let said = 0;

// hush keeps screen readers from being told of each number: a new state is told at once, and its course now and then.
function hush(part, next) {
  const tell = part.className !== next.className || Date.now() - said > 60000;
  part.setAttribute('aria-live', tell ? 'polite' : 'off');
  if (tell) said = Date.now();
}

function take(part, next) {
  if (part.innerHTML === next.innerHTML || busy(part)) return;
  if (part.dataset.live === 'latest') {
    takeKeyed(part, next);
    return;
  }
  if (part.dataset.live === 'state') hush(part, next);
  part.className = next.className;
  part.replaceChildren(...next.childNodes);
}

function lost() {
  const state = document.querySelector('[data-live=state]');
  if (state.classList.contains('lost')) return;
  state.className = 'state bad lost';
  state.querySelector('strong').textContent = 'No answer';
  state.querySelector('bdi').textContent = 'This page is from ' + new Date().toLocaleTimeString() + '; it goes on when snapshot-mirror answers.';
}

async function update() {
  try {
    // The origin by itself: an address with a password in it can't be fetched.
    const answer = await fetch(new URL('/live', location.origin), { signal: AbortSignal.timeout(10000) });
    if (!answer.ok) throw new Error(answer.statusText);
    const next = new DOMParser().parseFromString(await answer.text(), 'text/html');
    for (const part of parts()) {
      const found = next.querySelector(`[data-live=${part.dataset.live}]`);
      if (found) take(part, found);
    }
  } catch {
    lost();
  }
}

async function run() {
  for (;;) {
    await new Promise((done) => setTimeout(done, pause));
    if (!document.hidden) await update();
  }
}

for (const box of document.querySelectorAll('[data-tick-all]')) {
  box.closest('label').hidden = false;
  box.addEventListener('change', () => {
    for (const one of box.form.querySelectorAll('input[name=id]')) one.checked = box.checked;
  });
}

run();
