// Keeps a list that grows by itself short: the newest items stay.
document.addEventListener("htmx:sseMessage", (event) => {
  const most = Number(event.target.dataset.newest);
  while (most && event.target.childElementCount > most) event.target.lastElementChild.remove();
});

// Says when a live screen is not updated.
const stale = (yes) => {
  const note = document.getElementById("not-updated");
  if (note) note.hidden = !yes;
};
for (const name of ["htmx:sseError", "htmx:responseError", "htmx:sendError"]) document.addEventListener(name, () => stale(true));
for (const name of ["htmx:sseOpen", "htmx:afterSettle"]) document.addEventListener(name, () => stale(false));

// A live screen that nobody sees holds no connection: a browser has six to one address, and a
// seventh tab would wait. A tap goes on.
htmx.createEventSource = (address) => {
  const listeners = [];
  let source = null, closed = false;
  const made = {
    get readyState() { return source ? source.readyState : EventSource.CONNECTING; },
    addEventListener(name, listener) {
      listeners.push([name, listener]);
      if (source) source.addEventListener(name, listener);
    },
    removeEventListener(name, listener) {
      const at = listeners.findIndex((l) => l[0] === name && l[1] === listener);
      if (at >= 0) listeners.splice(at, 1);
      if (source) source.removeEventListener(name, listener);
    },
    close() {
      closed = true;
      document.removeEventListener("visibilitychange", look);
      if (source) source.close();
    },
  };
  const look = () => {
    if (document.hidden && address === "/ui/live") {
      if (source) source.close();
      source = null;
    } else if (!source && !closed) {
      source = new EventSource(address);
      source.onopen = (event) => made.onopen(event);
      source.onerror = (event) => {
        made.onerror(event);
        if (source.readyState === EventSource.CLOSED) made.close(); // the extension makes another one
      };
      for (const [name, listener] of listeners) source.addEventListener(name, listener);
    }
  };
  document.addEventListener("visibilitychange", look);
  setTimeout(look, 0);
  return made;
};
