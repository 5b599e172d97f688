// What the admin's pages do beyond links and forms; its one rule: every page works without it.
(() => {
  "use strict";
  document.documentElement.classList.add("js");

  const button = document.querySelector(".menu-button");
  const sidebar = document.getElementById("sidebar");
  if (button && sidebar) {
    const narrow = window.matchMedia("(max-width: 860px)");
    const fit = () => { button.hidden = !narrow.matches; };
    narrow.addEventListener("change", fit);
    fit();
    button.addEventListener("click", () => {
      const open = sidebar.classList.toggle("open");
      button.setAttribute("aria-expanded", String(open));
    });
  }

  document.addEventListener("change", (event) => {
    const all = event.target;
    if (!(all instanceof HTMLInputElement)) return;
    const table = all.closest("table");
    if (!table) return;
    const boxes = [...table.querySelectorAll('input[name="rowid"]')];
    if ("all" in all.dataset) boxes.forEach((box) => { box.checked = all.checked; });
    const head = table.querySelector("[data-all]");
    if (head) {
      const chosen = boxes.filter((box) => box.checked).length;
      head.checked = chosen === boxes.length;
      head.indeterminate = chosen > 0 && chosen < boxes.length;
    }
  });

  document.addEventListener("click", (event) => {
    const asked = event.target instanceof Element ? event.target.closest("[data-confirm]") : null;
    if (asked && !window.confirm(asked.dataset.confirm)) event.preventDefault();
  });
})();
