/* A difference whose interval leaves zero out is shaded: blue above zero, orange below. */
addEventListener("DOMContentLoaded", () => {
  const difference = /^[+-][\d.]+ \[([+-][\d.]+), ([+-][\d.]+)\]$/;
  for (const cell of document.querySelectorAll("article table.docutils td")) {
    const ends = difference.exec(cell.textContent.trim())?.slice(1).map(Number);
    if (ends && ends[0] > 0) {
      cell.classList.add("above-zero");
    } else if (ends && ends[1] < 0) {
      cell.classList.add("below-zero");
    }
  }
});
