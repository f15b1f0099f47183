// A new look with its progress, and the text on the clipboard.

// The one place that knows how progress is told: here by the run's own state, asked for again and again.
async function follow(run, tell) {
  const started = Date.now();
  while (run.state === "queued" || run.state === "running") {
    tell(`looking ... ${((Date.now() - started) / 1000).toFixed(1)} s`);
    await wait(150);
    run = await ask("GET", `v1/diagnoses/${run.id}`);
  }
  return run;
}

async function look() {
  by("again").disabled = true;
  try {
    say("looking ...");
    const run = await follow(await ask("POST", "v1/diagnoses?wait=false"), say);
    if (run.state === "failed") throw new Error(run.error);
    await redraw();
    say(clean(`${run.answer}: ${run.summary}`));
    by("again").focus();
  } catch (error) {
    say(`That did not work: ${clean(error.message)}`);
    by("again").disabled = false;
    if (error.locked) demand(look);
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
