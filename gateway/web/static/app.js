// Makes pages live: fetches what changed, copies texts, keeps pictures fresh. Works without it too.
(() => {
  "use strict";
  const root = document.documentElement;
  root.classList.add("js");

  // -- copy buttons: the clipboard needs HTTPS, so there is the old way beside it ---------------
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    const told = () => {
      if (button.dataset.told) return;
      const before = [...button.childNodes];
      button.dataset.told = "yes";
      button.textContent = "Copied";
      setTimeout(() => {
        button.replaceChildren(...before);
        delete button.dataset.told;
      }, 1600);
    };
    const byHand = () => {
      const range = document.createRange();
      range.selectNodeContents(source);
      const selection = getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
      if (document.execCommand("copy")) told();
    };
    if (navigator.clipboard && window.isSecureContext) {
      navigator.clipboard.writeText(source.textContent.trim()).then(told, byHand);
    } else {
      byHand();
    }
  });
  document.addEventListener("click", (event) => {
    const cancel = event.target.closest("[data-close]");
    if (!cancel) return;
    event.preventDefault();
    const question = cancel.closest("details");
    question.open = false;
    question.querySelector("summary").focus();
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
    if (event.target.matches("select[data-fills]")) {
      const chosen = event.target.selectedOptions[0];
      document.getElementById(event.target.dataset.fills).value = chosen?.dataset.default || "";
    }
  });
  document.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (button && button.dataset.busy) {
      button.textContent = button.dataset.busy;
      setTimeout(() => { button.disabled = true; }, 0);
    }
  });

  // -- a password that is shown once: reading the page again must not draw another one
  const shownOnce = document.querySelector(".once a.button");
  if (shownOnce) {
    const again = new URL(shownOnce.href);
    again.searchParams.set("tab", "account");  // another address than ok's, or ok would only scroll
    history.replaceState(null, "", again);
  }

  // -- pictures of cameras ------------------------------------------------------------------------
  const EVERY = 15000;
  const missing = (image, yes) => image.parentElement.classList.toggle("missing", yes);
  const watch = () => {
    for (const image of document.querySelectorAll("img[data-snapshot]:not([data-watched])")) {
      image.dataset.watched = "";
      if (image.complete && !image.naturalWidth && image.loading !== "lazy") missing(image, true);
      image.addEventListener("error", () => missing(image, true));
      image.addEventListener("load", () => missing(image, false));
    }
  };
  watch();
  setInterval(() => {
    if (document.hidden) return;
    for (const image of document.querySelectorAll("img[data-snapshot]")) {
      const next = new Image();
      const address = `${image.dataset.snapshot}?t=${Date.now()}`;
      next.onload = () => { image.src = address; };
      next.onerror = () => missing(image, true);
      next.src = address;
    }
  }, EVERY);

  // -- times in the words of the reader's own clock
  const localize = (place) => {
    for (const time of place.querySelectorAll("time[datetime]")) {
      const moment = new Date(time.dateTime);
      if (!isNaN(moment)) time.textContent = moment.toLocaleString();
    }
  };

  // -- search in long lists: what does not contain all the words is not shown
  const LONG = 12;
  const sought = new Map();
  const findable = (place) => {
    const lists = [...place.querySelectorAll("[data-find]")];
    if (place.matches?.("[data-find]")) lists.push(place);
    for (const list of lists) {
      const rows = () => [...list.querySelectorAll(":scope tbody > tr, :scope ul.rows > li")];
      if (rows().length <= LONG) continue;
      const input = document.createElement("input");
      input.type = "search";
      input.id = "find-" + list.id;
      input.className = "find";
      input.placeholder = list.dataset.find;
      input.setAttribute("aria-label", list.dataset.find);
      const filter = () => {
        sought.set(list.id, input.value);
        const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
        for (const row of rows()) {
          const text = row.textContent.toLowerCase();
          row.hidden = !words.every((word) => text.includes(word));
        }
      };
      input.addEventListener("input", filter);
      const heading = list.querySelector(".head, h2");
      if (heading) heading.after(input);
      else list.prepend(input);
      input.value = sought.get(list.id) || "";
      filter();
    }
  };

  // -- what changed on the server -----------------------------------------------------------------
  const topics = (document.body.dataset.topics || "").split(" ").filter(Boolean);
  if (!topics.length || !window.EventSource) {
    localize(document);
    findable(document);
    return;
  }
  const address = "/events?" + topics.map((topic) => "topic=" + encodeURIComponent(topic)).join("&")
    + "&since=" + (document.body.dataset.since || "");
  const shown = new WeakMap();
  for (const region of document.querySelectorAll("[data-live]")) shown.set(region, region.innerHTML);
  localize(document);
  findable(document);

  const beingUsed = (region) => {
    const active = document.activeElement;
    if (active && region.contains(active) && active.matches("input:not(.find), select, textarea")) {
      return true;
    }
    return [...region.querySelectorAll("input:not(.find), select")].some((input) =>
      input.type === "checkbox" ? input.checked !== input.defaultChecked
        : "defaultValue" in input && input.value !== input.defaultValue);
  };

  // Nothing is replaced between the press and the release of a button, which would lose the click,
  // nor once the browser is on its way to another page, which reloading would call off.
  let pressed = false;
  let leaving = false;
  addEventListener("pointerdown", () => { pressed = true; }, true);
  for (const end of ["pointerup", "pointercancel"]) {
    addEventListener(end, () => { setTimeout(() => { pressed = false; }, 0); }, true);
  }
  addEventListener("beforeunload", () => {
    leaving = true;
    setTimeout(() => { leaving = false; }, 5000);
  });

  const refresh = async () => {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    const text = await answer.text();
    if (leaving) return;
    if (pressed) {
      soon();
      return;
    }
    if (answer.redirected || answer.status === 401 || answer.status === 404) {
      location.reload();
      return;
    }
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const badge = document.getElementById("waiting");
    const counted = fresh.getElementById("waiting");
    if (badge && counted && badge.outerHTML !== counted.outerHTML) badge.replaceWith(counted);
    // What the page follows or consists of has changed, so it is made anew, unless one is typing.
    const regions = (page) => [...page.body.querySelectorAll("[data-live]")]
      .map((one) => one.id).join();
    if ((fresh.body.dataset.topics !== document.body.dataset.topics
         || regions(fresh) !== regions(document))
        && ![...document.querySelectorAll("[data-live]")].some(beingUsed)) {
      location.reload();
      return;
    }
    for (const region of document.querySelectorAll("[data-live]")) {
      const next = fresh.getElementById(region.id);
      if (!next || shown.get(region) === next.innerHTML || beingUsed(region)) continue;
      const html = next.innerHTML;
      const open = [...region.querySelectorAll("details[open][id]")].map((one) => one.id);
      const active = region.contains(document.activeElement) ? document.activeElement : null;
      const again = active && (active.id ? `#${CSS.escape(active.id)}`
        : active.getAttribute("href") ? `a[href="${CSS.escape(active.getAttribute("href"))}"]` : "");
      region.replaceWith(document.adoptNode(next));
      localize(next);
      shown.set(next, html);
      findable(next);
      for (const id of open) {
        const one = document.getElementById(id);
        if (one) one.open = true;
      }
      if (again) next.querySelector(again)?.focus();
    }
    watch();
  };

  let timer = 0;
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(() => refresh().catch(() => {}), 150);
  };
  let source = null;
  let lost = 0;
  const follow = () => {
    if (source) return;
    source = new EventSource(address);
    source.addEventListener("changed", soon);
    source.addEventListener("open", () => {
      clearTimeout(lost);
      if (root.classList.contains("link-lost")) soon();
      root.classList.remove("link-lost");
      root.dataset.live = "yes";
    });
    source.addEventListener("error", () => {
      delete root.dataset.live;
      clearTimeout(lost);
      lost = setTimeout(() => root.classList.add("link-lost"), 4000);
    });
  };
  // Browsers allow six connections to one server: a page that nobody sees gives its own back.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      source?.close();
      source = null;
    } else {
      follow();
      soon();
    }
  });
  addEventListener("pagehide", () => { source?.close(); source = null; });
  addEventListener("pageshow", (event) => { if (event.persisted) { follow(); soon(); } });
  if (!document.hidden) follow();
})();
