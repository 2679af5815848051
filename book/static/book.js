// What is too wide for the page scrolls in a box of its own: tables are laid in one, formulas are one. While there is
// something to scroll to, the box has a name and the keyboard reaches it.
document.addEventListener("DOMContentLoaded", () => {
  const boxes = new Map();
  document.querySelectorAll(".bd-article table").forEach((table, number) => {
    const box = document.createElement("div");
    box.className = table.querySelectorAll("thead th").length > 2 ? "table-box wide" : "table-box";
    table.replaceWith(box);
    box.append(table);
    boxes.set(box, `Table ${number + 1} of this page`);
  });
  document.querySelectorAll(".bd-article div.math").forEach((formula, number) => {
    boxes.set(formula, `Formula ${number + 1} of this page`);
  });
  const reach = () =>
    boxes.forEach((name, box) => {
      const scrolls = box.scrollWidth > box.clientWidth;
      for (const [key, value] of [["tabindex", "0"], ["role", "region"], ["aria-label", name]]) {
        scrolls ? box.setAttribute(key, value) : box.removeAttribute(key);
      }
    });
  new ResizeObserver(reach).observe(document.body);
  window.addEventListener("load", reach);
});
