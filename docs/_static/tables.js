/* A table that is wider than the text gets smaller print. If it is still too wide, each of its rows becomes a list. */
(() => {
  const right = (element) => element.getBoundingClientRect().right;
  const tooWide = (table) => right(table) > right(table.parentElement) + 1;

  const label = (table) => {
    const titles = [...table.querySelectorAll("thead th")].map((cell) => cell.textContent.trim());
    for (const row of table.querySelectorAll("tbody tr")) {
      [...row.cells].forEach((cell, i) => { cell.dataset.title = titles[i] ?? ""; });
    }
  };

  const fit = () => {
    for (const table of document.querySelectorAll("article table.docutils")) {
      table.classList.remove("small", "stacked");
      if (tooWide(table)) {
        table.classList.add("small");
      }
      if (tooWide(table)) {
        label(table);
        table.classList.add("stacked");
      }
    }
  };

  addEventListener("load", fit);
  addEventListener("resize", fit);
  document.addEventListener("toggle", fit, true); // a folded section has no width
})();
