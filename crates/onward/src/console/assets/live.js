// Keeps the part of a page with `data-live` as the server sends it.
const part = document.querySelector("[data-live]");
if (part) {
  const status = document.querySelector("[data-status]");
  const source = new EventSource(part.dataset.live);
  let pending = null;
  const isInUse = () =>
    part.contains(document.activeElement) || !(document.getSelection()?.isCollapsed ?? true);
  // What a person reads with the keyboard, or has selected, must not change under them.
  const show = (content) => {
    if (isInUse()) {
      pending = content;
      return;
    }
    pending = null;
    const open = [...part.querySelectorAll("details")].map((details) => details.open);
    const log = part.querySelector(".log");
    const atEnd = !log || log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
    const top = log?.scrollTop ?? 0;
    part.innerHTML = content;
    part.querySelectorAll("details").forEach((details, index) => (details.open = open[index] ?? false));
    const renewed = part.querySelector(".log");
    if (renewed) renewed.scrollTop = atEnd ? renewed.scrollHeight : top;
  };
  const resume = () => pending !== null && setTimeout(() => pending !== null && show(pending));
  part.addEventListener("focusout", resume);
  document.addEventListener("selectionchange", resume);
  source.onopen = () => (status.textContent = "");
  source.onmessage = (event) => show(event.data);
  source.addEventListener("end", (event) => {
    source.close();
    show(event.data);
  });
  source.onerror = () =>
    (status.textContent = `Not connected since ${new Date().toLocaleTimeString()}: what is shown may be old.`);
  const log = part.querySelector(".log");
  if (log) log.scrollTop = log.scrollHeight;
}
