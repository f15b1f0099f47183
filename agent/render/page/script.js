"use strict";
// The report stands without this. It adds: a new look with its progress, and the text on the clipboard.
(() => {
  const by = (id) => document.getElementById(id);
  const live = by("live");
  const say = (words) => { live.textContent = words; };
  const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

  // No token: whoever could open this page came by a door that asks for none.
  async function ask(method, path) {
    const answer = await fetch(path, { method, headers: { Accept: "application/json" } });
    const data = await answer.json();
    if (!answer.ok) throw new Error(data.detail || data.title || `HTTP ${answer.status}`);
    return data;
  }

  async function look() {
    by("again").disabled = true;
    try {
      say("looking ...");
      let run = await ask("POST", "v1/diagnoses?wait=false");
      const started = Date.now();
      while (run.state === "queued" || run.state === "running") {
        await wait(150);
        run = await ask("GET", `v1/diagnoses/${run.id}`);
        say(`looking ... ${((Date.now() - started) / 1000).toFixed(1)} s`);
      }
      if (run.state === "failed") throw new Error(run.error);
      say(`${run.answer}: ${run.summary}`);
      location.reload();
    } catch (error) {
      say(`That did not work: ${error.message}`);
      by("again").disabled = false;
    }
  }

  async function copy() {
    const text = by("text").textContent;
    try {
      await navigator.clipboard.writeText(text);
      say("Copied.");
    } catch {
      // Browsers give the clipboard to secure origins only.
      const range = document.createRange();
      by("text").closest("details").open = true;
      range.selectNodeContents(by("text"));
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      say("Selected: copy it with your keyboard.");
    }
  }

  by("again").addEventListener("click", look);
  by("copy").addEventListener("click", copy);
  by("actions").hidden = false;
})();
