// Filters the claims of the page by text, kind and verdict. Without this script all of them are shown.
document.addEventListener("DOMContentLoaded", () => {
  "use strict";
  const form = document.getElementById("claims-filter");
  const claims = [...document.querySelectorAll("table.claims tbody tr")];
  const shown = document.getElementById("claims-shown");
  form.classList.add("claims-live");

  const fits = (claim, { text, kind, word }) =>
    claim.textContent.toLowerCase().includes(text.toLowerCase()) &&
    (!kind || claim.dataset.kind === kind) &&
    (!word || claim.dataset.words.split("|").includes(word));

  // A chapter without a claim that fits is hidden as a whole; a claim that a link leads to is always shown.
  function filter() {
    const wanted = Object.fromEntries(new FormData(form));
    for (const claim of claims) claim.hidden = !fits(claim, wanted);
    document.querySelectorAll("section:has(> .table-box table.claims), section:has(> table.claims)").forEach((section) => {
      section.hidden = !section.querySelector("table.claims tbody tr:not([hidden])");
    });
    shown.textContent = `${claims.filter((claim) => !claim.hidden).length} of ${claims.length} claims`;
  }

  function toLinked() {
    const linked = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (linked && linked.hidden) {
      form.reset();
      filter();
      linked.scrollIntoView();
    }
  }

  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("hashchange", toLinked);
  filter();
});
