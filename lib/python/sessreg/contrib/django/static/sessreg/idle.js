// Warns before the seat or the session goes for not being used. It asks a passive address, which keeps nothing in use.
(() => {
  'use strict';
  const box = document.getElementById('sessreg-idle');
  const text = document.getElementById('sessreg-idle-text');
  const button = box.querySelector('button');
  const warnSeconds = Number(box.dataset.warn);
  const headers = {Accept: 'text/plain, application/json;q=0.9'};
  let timer;

  const askIn = seconds => {
    clearTimeout(timer);
    timer = setTimeout(ask, 1000 * Math.min(Math.max(seconds, 1), 300));
  };
  // A screen reader says each change. canStay: it is not over, so the button is of use.
  const say = (words, canStay) => {
    button.style.display = canStay ? '' : 'none';
    if (text.textContent !== words) text.textContent = words;
    box.hidden = false;
  };
  // Never one second: languages have no other form for 10, 20 and 30.
  const roughly = seconds => Math.max(10, 10 * Math.round(seconds / 10));
  // Refused, ended, or nobody is logged in any more: the page, whose input may not be saved, is left as it is.
  const sayWhy = async response => {
    const isText = (response.headers.get('Content-Type') || '').startsWith('text/plain');
    say(isText ? await response.text() : text.dataset.over, response.status === 503);
    askIn(30);
  };

  const ask = async () => {
    try {
      const response = await fetch(box.dataset.standing, {headers, redirect: 'manual'});
      if (!response.ok) return await sayWhy(response);
      const {seconds, what} = await response.json();
      if (seconds === null || seconds > warnSeconds) {
        box.hidden = true;
        askIn(seconds === null ? 300 : seconds - warnSeconds);
      } else {
        say(text.dataset[what].replace('{seconds}', roughly(seconds)), true);
        askIn(Math.min(5, seconds));
      }
    } catch {
      askIn(60);  // no network
    }
  };

  box.addEventListener('submit', async event => {
    event.preventDefault();
    try {
      const response = await fetch(box.action, {method: 'POST', body: new FormData(box), headers, redirect: 'manual'});
      if (!response.ok) return await sayWhy(response);
    } catch {
      return askIn(5);
    }
    box.hidden = true;
    askIn(1);
  });
  askIn(1);
})();
