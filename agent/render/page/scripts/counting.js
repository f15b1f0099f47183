// Fixes that are alive, with the time that is left to each, by the node's clock.

const EVERY = 5000; // milliseconds; somebody else may confirm it, take it out, or flush the chain
const LIVE = ["intent", "applied", "trial", "confirmed"];
let counting = 0; // which count is the page's: a page that was drawn anew has another

const left = (fix) => Math.max(0, Math.ceil(fix.ends - (Date.now() + ahead) / 1000));
const alive = async () => (await ask("GET", "v1/fixes")).fixes.filter((fix) => LIVE.includes(fix.state));
const brief = (fixes) => JSON.stringify(fixes.map(({ id, state, ends }) => [id, state, ends]));

// Draws what is alive, and goes on counting by itself.
async function count() {
  const mine = ++counting;
  const live = await alive();
  const rows = live.map(drawFix);
  by("fixes").hidden = !rows.length;
  by("live-fixes").replaceChildren(...rows);
  if (rows.length) tick(mine, live, rows).catch((error) => say(clean(error.message)));
}

async function tick(mine, live, rows) {
  let asked = Date.now();
  while (mine === counting) {
    live.forEach((fix, number) => drawTime(fix, rows[number]));
    await wait(1000);
    if (mine !== counting || (Date.now() - asked < EVERY && live.every(left))) continue;
    asked = Date.now();
    const now = await alive();
    if (mine !== counting || brief(now) === brief(live)) continue;
    await redraw();
    say(now.length ? "A fix changed." : "No fix is open any more.");
  }
}

function drawFix(fix) {
  const row = fill("a-fix", { state: fix.state === "confirmed" ? "Confirmed" : "On trial", opens: flow(fix.flow), rule: fix.rule });
  const path = `v1/fixes/${fix.id}`;
  row.querySelector("[data-do=confirm]").onclick = () => {
    const lease = Number(row.querySelector("select").value);
    settle("confirming", "POST", `${path}/confirm`, { lease }, `Confirmed: it ends by itself in ${span(lease)}.`);
  };
  row.querySelector("[data-do=revert]").onclick = () => settle("taking it out", "DELETE", path, undefined, "Taken out.");
  row.querySelector("progress").max = Math.max(1, fix.ends - fix.started);
  drawTime(fix, row);
  return row;
}

function drawTime(fix, row) {
  const rest = left(fix);
  const otherwise = fix.state === "confirmed" ? "" : " unless confirmed";
  row.querySelector("progress").value = rest;
  row.querySelector("[data-say=time]").textContent = rest ? `ends by itself in ${span(rest)}${otherwise}` : "its time is up";
}
