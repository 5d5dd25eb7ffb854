// Return [what, where] for each thing that is wider than its box at the present width of the window.
// The rule: at no width does a reader scroll sideways to see text, a picture, code, a table or a signature, and nothing
// is cut off. Only a formula may scroll, inside its own box. What a theme keeps outside the window (drawers of a narrow
// window) and what only a screen reader gets does not count.
() => {
  const hidden = ".sidebar-drawer, .toc-drawer, .visually-hidden, mjx-assistive-mml";
  const boxes = "pre, table, dt.sig, div.math";
  const short = (text) => text.trim().replace(/\s+/g, " ").slice(0, 80);
  const right = (element) => element.getBoundingClientRect().right;
  const scrolls = (element) => element.scrollWidth > element.clientWidth + 1;
  const sticksOut = (box) => [...box.querySelectorAll("*")].some((e) => right(e) > right(box) + 1 && !e.closest(hidden));
  const found = [];

  for (const block of document.querySelectorAll("pre")) {
    if (scrolls(block)) {
      const lines = block.textContent.split("\n");
      found.push(["code is wider than its box", short(lines.reduce((a, b) => (b.length > a.length ? b : a)))]);
    }
  }
  for (const table of document.querySelectorAll("table")) {
    const cell = [...table.querySelectorAll("td, th")].find(sticksOut);
    if (right(table) > right(table.parentElement) + 1 || cell) {
      found.push(["table is wider than its box", short((cell ?? table.rows[0] ?? table).innerText)]);
    }
  }
  for (const signature of document.querySelectorAll("dt.sig")) {
    if (sticksOut(signature)) {
      found.push(["signature is wider than its box", short(signature.innerText)]);
    }
  }
  const width = document.documentElement.clientWidth;
  const tooFar = [...document.body.querySelectorAll("*")].find(
    (e) => right(e) > width + 1 && !e.closest(`${hidden}, ${boxes}`)
      && ![...e.children].some((child) => right(child) > width + 1)
  );
  if (tooFar) {
    const named = tooFar.closest(".math") ?? tooFar;
    found.push(["page is wider than the window", short(`<${named.tagName.toLowerCase()}> ${named.textContent}`)]);
  }
  return found;
}
