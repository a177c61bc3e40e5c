// The live console. Whatever happens, its button comes back as "Open console" or "Reconnect".
"use strict";
(function () {
  const CONNECT_MS = 10000, MOST_LINES = 2000;
  const box = document.getElementById("console");
  if (!box) return;
  const button = document.getElementById("console-open"), state = document.getElementById("console-state");
  const lines = document.getElementById("console-lines"), form = document.getElementById("console-form");
  const fault = document.getElementById("console-fault");
  let socket = null, timer = 0, wasOpen = false;

  function show(words, buttonWords) {
    state.textContent = words;
    button.textContent = buttonWords;
    button.disabled = buttonWords === "Connecting…";
    box.dataset.state = buttonWords;
  }

  function print(line) {
    const atEnd = lines.scrollTop + lines.clientHeight >= lines.scrollHeight - 4;
    lines.append(line.replace(/\u001b\[[0-9;?]*[A-Za-z]/g, "") + "\n");
    while (lines.childNodes.length > MOST_LINES) lines.firstChild.remove();
    if (atEnd) lines.scrollTop = lines.scrollHeight;
  }

  // Browsers do not say why a connection was refused; the page does.
  async function reason() {
    try {
      const answer = await fetch(location.href, { redirect: "manual" });
      if (answer.type === "opaqueredirect") return "You are signed out. Load this page again to sign in.";
      const there = new DOMParser().parseFromString(await answer.text(), "text/html");
      const words = there.querySelector("[data-why]") || (answer.ok ? null : there.querySelector("#main .sheet p"));
      return words ? words.textContent.trim() : "";
    } catch (error) {
      return "We cannot be reached at the moment. Check your connection.";
    }
  }

  function over(given) {
    clearTimeout(timer);
    socket = null;
    const again = wasOpen ? "Reconnect" : "Open console";
    show(given || "The connection ended.", again);
  }

  // A reason that a connection ends with is cut short by the protocol; the page says it whole.
  function ended(given) {
    const open = wasOpen;
    over(given);
    reason().then((words) => {
      if (!socket && words) show((open ? "The connection ended. " : "") + words, button.textContent);
      else if (!socket && !given) show(open ? "The connection ended." : "The console did not answer.", button.textContent);
    });
  }

  function open() {
    if (socket) { const mine = socket; wasOpen = true; over("The console is closed."); mine.close(); return; }
    show("Connecting to the console…", "Connecting…");
    let mine;
    try {
      mine = new WebSocket(location.origin.replace(/^http/, "ws") + box.dataset.api + "/stream");
    } catch (error) { over("The console could not be opened: " + error.message); return; }
    socket = mine;
    timer = setTimeout(() => {
      if (socket !== mine) return;
      over("The console did not answer within 10 seconds.");
      mine.close();
    }, CONNECT_MS);
    mine.onopen = () => {
      if (socket !== mine) return;
      clearTimeout(timer);
      wasOpen = true;
      lines.textContent = "";
      show("Connected: you see what the server prints.", "Close");
    };
    mine.onmessage = (event) => { if (socket === mine) print(event.data); };
    mine.onclose = (event) => {
      if (socket === mine) ended(event.reason.replace(/^[A-Z_]+: /, ""));
    };
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const line = form.elements.command.value;
    fault.hidden = true;
    try {
      const answer = await fetch(box.dataset.api + "/command", {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-Forbear-Proof": form.elements.proof.value },
        body: JSON.stringify({ command: line }),
      });
      if (!answer.ok) throw new Error((await answer.json()).detail);
      form.elements.command.value = "";
      if (!socket) open();
    } catch (error) {
      fault.textContent = error.message && error.name === "Error" ? error.message : "The line could not be sent. Try again.";
      fault.hidden = false;
    }
  });
  lines.scrollTop = lines.scrollHeight;
  button.hidden = false;
  button.addEventListener("click", open);
  show(state.textContent, "Open console");
})();
