// Keeps a page fresh while something is under way: fetches it again and puts the parts in place that have changed.
"use strict";
(function () {
  const EVERY = 2000, SLOWEST = 30000;
  let wait = EVERY;
  function held(part) {
    return part.contains(document.activeElement) && document.activeElement.matches("input, textarea, select, summary");
  }
  async function look() {
    try {
      const answer = await fetch(location.href, { headers: { "X-Live": "1" }, redirect: "manual" });
      if (answer.type === "opaqueredirect") { location.reload(); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      let waits = false;
      document.querySelectorAll("[data-live]").forEach((part) => {
        const other = fresh.querySelector('[data-live="' + part.dataset.live + '"]');
        if (!other) return;
        waits = waits || other.hasAttribute("data-waits");
        if (!held(part) && part.innerHTML !== other.innerHTML) part.innerHTML = other.innerHTML;
      });
      wait = EVERY;
      if (!waits) return;
    } catch (error) {
      wait = Math.min(wait * 2, SLOWEST);
    }
    setTimeout(look, wait);
  }
  setTimeout(look, wait);
})();
