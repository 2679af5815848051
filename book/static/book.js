// Lay each table in a box that scrolls by itself, and that the keyboard can reach when there is something to scroll to.
document.addEventListener("DOMContentLoaded", () => {
  const boxes = [...document.querySelectorAll(".bd-article table")].map((table, number) => {
    const box = document.createElement("div");
    box.className = table.querySelectorAll("thead th").length > 2 ? "table-box wide" : "table-box";
    box.setAttribute("aria-label", `Table ${number + 1} of this page`);
    table.replaceWith(box);
    box.append(table);
    return box;
  });
  const reach = () =>
    boxes.forEach((box) => {
      const scrolls = box.scrollWidth > box.clientWidth;
      box.toggleAttribute("tabindex", false);
      if (scrolls) box.setAttribute("tabindex", "0");
      box.setAttribute("role", scrolls ? "region" : "presentation");
    });
  new ResizeObserver(reach).observe(document.body);
});
