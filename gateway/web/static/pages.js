// Comforts for people whose browser runs scripts. Every page works without this file: nothing is shown, saved
// or decided here that the server does not do by itself.
"use strict";

(() => {
  const WARN_BEFORE_MS = 2 * 60 * 1000;
  const KEYS_OFF = "pa-keys-off";
  const form = document.querySelector("form.form");
  let isDirty = false;

  // Signing out warns first and can be put off (WCAG 2.2.1). What was typed stays on the page meanwhile.
  function watchSession(expires) {
    const left = Date.parse(expires) - Date.parse(document.body.dataset.now) - WARN_BEFORE_MS;
    window.setTimeout(warn, Math.max(left, 0));
  }

  function warn() {
    const box = document.createElement("div");
    const stay = document.createElement("button");
    box.className = "alert session";
    box.setAttribute("role", "alert");
    box.append("You will be signed out in two minutes. What you did not save would be lost. ", stay);
    stay.textContent = "Stay signed in";
    stay.addEventListener("click", () => extend(box));
    document.querySelector("main").prepend(box);
  }

  async function extend(box) {
    const answer = await fetch("/about", { headers: { Accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!page.body.dataset.expires) {
      box.textContent = "You are signed out. Copy what you typed before you sign in again in another window.";
      return;
    }
    document.body.dataset.now = page.body.dataset.now;
    watchSession(page.body.dataset.expires);
    box.remove();
  }

  // A form that was not saved says so and does not go away unasked.
  function watchForm() {
    const state = form.querySelector("[data-state]");
    form.addEventListener("input", () => {
      isDirty = true;
      if (state) state.textContent = "Not saved yet";
    });
    form.addEventListener("submit", () => {
      isDirty = false;
    });
    window.addEventListener("beforeunload", (event) => {
      if (isDirty) event.preventDefault();
    });
  }

  // Keys. Those without Ctrl can be turned off on the help page (WCAG 2.1.4) and never act while typing.
  function isTyping(target) {
    return target.matches("input:not([type=radio]):not([type=checkbox]), textarea, select");
  }

  function step(selector, direction) {
    const all = [...document.querySelectorAll(selector)];
    const now = all.indexOf(document.activeElement);
    const next = all[now < 0 ? (direction > 0 ? 0 : all.length - 1) : now + direction];
    if (next) next.focus();
  }

  function nextQuestion() {
    const boxes = [...document.querySelectorAll(".question[data-open]")];
    const now = boxes.findIndex((box) => box.contains(document.activeElement));
    const next = boxes[now + 1] || boxes[0];
    const control = next && next.querySelector("input:not([type=hidden]), textarea, select");
    if (control) control.focus();
  }

  function toggleOrigin() {
    const box = document.activeElement.closest(".question");
    const origin = box && box.querySelector("details.origin");
    if (!origin) return;
    origin.open = !origin.open;
    origin.querySelector("summary").focus();
  }

  let isGoing = false;
  const keys = {
    "/": () => document.getElementById("text")?.focus(),
    "?": () => window.location.assign("/about#keys"),
    j: () => step(".worklist tbody a", 1),
    k: () => step(".worklist tbody a", -1),
    n: nextQuestion,
    o: toggleOrigin,
    w: () => isGoing && window.location.assign("/"),
  };

  function onKey(event) {
    if (form && event.ctrlKey && event.key === "s") {
      event.preventDefault();
      form.querySelector("button.primary")?.click();
      return;
    }
    const isPlain = !event.ctrlKey && !event.altKey && !event.metaKey;
    if (!isPlain || isTyping(event.target) || localStorage.getItem(KEYS_OFF)) return;
    const act = keys[event.key];
    if (act) {
      event.preventDefault();
      act();
    }
    isGoing = event.key === "g";
  }

  function offerKeys() {
    const section = document.getElementById("keys");
    const choice = document.getElementById("keys-on");
    if (!section || !choice) return;
    section.hidden = false;
    choice.checked = !localStorage.getItem(KEYS_OFF);
    choice.addEventListener("change", () => {
      if (choice.checked) localStorage.removeItem(KEYS_OFF);
      else localStorage.setItem(KEYS_OFF, "1");
    });
    if (window.location.hash === "#keys") section.scrollIntoView();
  }

  if (document.body.dataset.expires) watchSession(document.body.dataset.expires);
  if (form) watchForm();
  document.addEventListener("keydown", onKey);
  offerKeys();
})();
