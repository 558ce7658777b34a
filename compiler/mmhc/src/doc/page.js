// Shows the entries whose words hold what is typed. Without scripts the whole page is there.
(() => {
  const box = document.getElementById("search");
  const entries = [...document.querySelectorAll("article")];
  const links = new Map([...document.querySelectorAll("a[data-for]")].map((link) => [link.dataset.for, link]));
  const groups = [...document.querySelectorAll("nav details")];
  const open = groups.map((group) => group.open);
  const show = () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    for (const entry of entries) {
      const name = entry.querySelector("h3 a").textContent.toLowerCase();
      const hit = words.every((word) => entry.dataset.words.includes(word));
      entry.hidden = !hit;
      entry.dataset.first = String(name === words[0]);
      links.get(entry.id).parentElement.hidden = !hit;
      found += Number(hit);
    }
    groups.forEach((group, at) => {
      const any = group.querySelector("li:not([hidden])") !== null;
      group.hidden = !any;
      group.open = words.length > 0 ? any : open[at];
    });
    for (const section of document.querySelectorAll("main section")) {
      section.hidden = section.querySelector("article:not([hidden])") === null;
    }
    document.getElementById("none").hidden = found > 0;
  };
  const go = () => {
    const hits = entries.filter((entry) => !entry.hidden);
    const best = hits.find((entry) => entry.dataset.first === "true") || hits[0];
    if (best) location.hash = best.id;
  };
  box.addEventListener("input", show);
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter") go();
    if (event.key === "Escape") { box.value = ""; show(); box.blur(); }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== box) { event.preventDefault(); box.focus(); box.select(); }
  });
  show();
})();
