"use strict";
// A click or a key press on the head of a column sorts the table; without this script tables are complete, but fixed.
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  if (body.rows.length < 2) continue;
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    const arrow = document.createElement("span");
    arrow.className = "arrow";
    arrow.setAttribute("aria-hidden", "true");
    button.append(arrow);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => {
        const cell = row.cells[column];
        if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
        const plain = cell.textContent.trim();
        return /^[-+]?[\d.,]+%?$/.test(plain) ? Number.parseFloat(plain.replaceAll(",", "")) : null;
      };
      const text = (row) => row.cells[column].textContent.trim();
      const rows = [...body.rows];
      rows.sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === null && y === null) return (down ? -1 : 1) * text(a).localeCompare(text(b), "en", { numeric: true });
        if (x === null || y === null) return x === null ? 1 : -1; // missing values come last
        return down ? y - x : x - y;
      });
      body.append(...rows);
    });
  });
}

// A link into a folded part opens it; so does the address that the page is opened with.
const unfold = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let one = target; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true;
  if (target) target.scrollIntoView();
};
addEventListener("hashchange", unfold);
if (location.hash) unfold();
