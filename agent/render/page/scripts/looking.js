// A new look with its progress, and the text on the clipboard.

// The one place that knows how progress is told: server-sent events, read by hand since an EventSource can send no token.
async function follow(run, tell) {
  const path = `v1/diagnoses/${run.id}`;
  const answer = await reach(`${path}/events`, { headers: { Accept: "text/event-stream", ...key() } });
  if (!answer.ok) throw new Refusal(answer.status, await answer.json());
  const [reader, decoder, started] = [answer.body.getReader(), new TextDecoder(), Date.now()];
  let [rest, ended] = ["", 0];
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const events = (rest + decoder.decode(part.value, { stream: true })).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const stage = /^event: stage\ndata: (.*)$/.exec(event);
      if (stage) tell(`looking: ${clean(JSON.parse(stage[1]).name)} (${ended += 1} done, ${((Date.now() - started) / 1000).toFixed(1)} s)`);
    }
  }
  return ask("GET", path);
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
