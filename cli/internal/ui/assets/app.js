// Keeps a list that grows by itself short: the newest items stay.
document.addEventListener("htmx:sseMessage", (event) => {
  const most = Number(event.target.dataset.newest);
  while (most && event.target.childElementCount > most) event.target.lastElementChild.remove();
});
