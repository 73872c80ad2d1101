// Keeps the part of a page with `data-live` as the server sends it.
const part = document.querySelector("[data-live]");
if (part) {
  const status = document.querySelector("[data-status]");
  const source = new EventSource(part.dataset.live);
  let pending = null;
  let lostAt = null;
  const isInUse = () =>
    part.contains(document.activeElement) || !(document.getSelection()?.isCollapsed ?? true);
  // What a person reads with the keyboard, or has selected, must not change under them.
  const show = (content) => {
    if (isInUse()) {
      pending = content;
      status.textContent = "Paused, while something on it is selected or has the focus.";
      return;
    }
    pending = null;
    status.textContent = "";
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
  source.onopen = () => {
    lostAt = null;
    status.textContent = "";
  };
  source.onmessage = (event) => show(event.data);
  source.addEventListener("end", (event) => {
    source.close();
    show(event.data);
  });
  source.onerror = () => {
    lostAt ??= new Date().toLocaleTimeString();
    status.textContent = `Not connected since ${lostAt}: what is shown may be old.`;
  };
  const log = part.querySelector(".log");
  if (log) log.scrollTop = log.scrollHeight;
}
