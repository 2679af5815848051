// What is too wide for the page scrolls in a box of its own, which the keyboard can reach when there is something to
// scroll to: tables are laid in such a box, formulas have one.
document.addEventListener("DOMContentLoaded", () => {
  const boxes = [...document.querySelectorAll(".bd-article table")].map((table, number) => {
    const box = document.createElement("div");
    box.className = table.querySelectorAll("thead th").length > 2 ? "table-box wide" : "table-box";
    box.setAttribute("aria-label", `Table ${number + 1} of this page`);
    table.replaceWith(box);
    box.append(table);
    return box;
  });
  document.querySelectorAll(".bd-article div.math").forEach((formula, number) => {
    formula.setAttribute("aria-label", `Formula ${number + 1} of this page`);
    boxes.push(formula);
  });
  const reach = () =>
    boxes.forEach((box) => {
      const scrolls = box.scrollWidth > box.clientWidth;
      scrolls ? box.setAttribute("tabindex", "0") : box.removeAttribute("tabindex");
      box.setAttribute("role", scrolls ? "region" : "presentation");
    });
  new ResizeObserver(reach).observe(document.body);
  window.addEventListener("load", reach);
});
