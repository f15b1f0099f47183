// Plan, apply, confirm, revert: what the buttons do. What is open is the node's to say; this only draws it.

// What to do about a refusal, beside its own sentence; and the button that does it.
const ADVICE = {
  guard: ["Nothing was changed. Where you know better, the command by hand is yours to run.", ""],
  changed: ["Nothing is open. See what changed, and plan anew: a plan holds for the rules that it was made of.", "plan"],
  "lock-busy": ["Nothing was changed. Another program is writing iptables' rules: try again in a moment.", "retry"],
  "no-disk": ["Nothing was changed. Make room in kubereach's state directory on the node, then try again.", "retry"],
  "no-lease": ["Nothing was changed. kubereach can end it in the kernel's place, as long as it runs: apply it so.", "agent"],
  "no-tool": ["Nothing was changed. See GET /readyz?verbose for what is missing on the node.", ""],
  "no-such-fix": ["It is forgotten or was never there: plan anew.", "plan"],
};
const BUTTONS = { plan: "Plan anew", retry: "Try again", agent: "Apply it, ended by kubereach" };

// A copy of a template, with the words of `said` in it.
function fill(name, said) {
  const part = by(name).content.firstElementChild.cloneNode(true);
  for (const [field, words] of Object.entries(said)) {
    const place = part.querySelector(`[data-say="${field}"]`);
    place.textContent = Array.isArray(words) ? words.map(clean).join("\n") : clean(words);
    place.closest("[data-if]")?.toggleAttribute("hidden", !String(words));
  }
  return part;
}

function show(part, focus) {
  by("mending").replaceChildren(part);
  part.querySelector(focus).focus();
}

async function plan() {
  by("plan").disabled = true;
  try {
    say("planning: a look, and the rule tried in a copy of the rules ...");
    drawPlan(await ask("POST", "v1/plans"));
    say("A plan. Nothing was changed.");
  } catch (error) {
    refused(error, { again: plan });
  }
  by("plan").disabled = false;
}

function span(seconds) {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h${seconds % 3600 >= 60 ? ` ${Math.floor((seconds % 3600) / 60)} min` : ""}`;
}

const flow = ({ source, destination, port }) =>
  `${source} to ${destination.includes(":") ? `[${destination}]` : destination}:${port}, TCP`;

function drawPlan(made) {
  const { place, before, after, blast_radius: radius } = made;
  const where = place.before ? `directly before rule ${made.position} of` : "at the end of";
  const part = fill("a-plan", {
    id: made.id,
    opens: flow(made.flow),
    rule: made.rule,
    where: `${where} filter ${place.chain} (iptables-${place.backend})`,
    before: place.before,
    "model-before": before.model,
    "model-after": after.model,
    "twin-before": before.twin,
    "twin-after": after.twin,
    "probe-before": before.probe,
    others: `${radius.tried} other packets walked through both rulesets: ${radius.changed.length || "none"} would fare otherwise.`,
    ends: `By itself: after ${span(made.trial)} unless confirmed, then after ${span(made.lease)} unless asked otherwise.`,
    command: made.command,
    undo: made.undo,
    notes: made.notes.join(" "),
    apply: `Apply it, on trial for ${span(made.trial)}`,
  });
  const kept = part.querySelector("[data-of=persistent]");
  for (const [tool, form] of Object.entries(made.persistent)) {
    const [name, text, box] = ["dt", "pre", "dd"].map((tag) => document.createElement(tag));
    [name.textContent, text.textContent, text.tabIndex] = [clean(tool), clean(form), 0];
    box.append(text);
    kept.append(name, box);
  }
  kept.closest("details").hidden = !kept.children.length;
  part.querySelector("[data-do=apply]").onclick = () => apply(made.id, part, "kernel");
  part.querySelector("[data-do=forget]").onclick = () => { part.remove(); by("plan").focus(); say("Forgotten. Nothing was changed."); };
  show(part, "h3");
}

async function apply(id, part, lease) {
  const button = part.querySelector("[data-do=apply]");
  const chosen = (name) => part.querySelector(`[data-wish=${name}]`).checked;
  button.disabled = true;
  try {
    say("applying: the rule goes in, and a connect from a pod tries it ...");
    const fix = await ask("POST", "v1/fixes", { plan: id, lease, put_back: chosen("put-back"), cut_flows: chosen("cut-flows") });
    await redraw();
    say(fix.known ? "It was open already: this is its fix." : "It is in, and a connect from a pod got through. It ends by itself unless you confirm it.");
    by("fixes-title").focus();
  } catch (error) {
    button.disabled = false;
    refused(error, { again: () => apply(id, part, lease), agent: () => apply(id, part, "agent") });
  }
}

// Confirm or revert; then the page anew.
async function settle(doing, method, path, body, words) {
  try {
    say(`${doing} ...`);
    await ask(method, path, body);
    await redraw();
    say(words);
    (by("fixes").hidden ? by("again") : by("fixes-title")).focus();
  } catch (error) {
    refused(error, { again: () => settle(doing, method, path, body, words) });
  }
}

// A sentence with what to do, where the eye is; the plan stays beneath it.
function refused(error, { again, agent }) {
  say("");
  const [advice, next] = ADVICE[error.kind] || [error.locked ? "Use a token that may do this." : "", error.status === 429 || error.status === 0 ? "retry" : ""];
  const part = fill("a-refusal", {
    title: error.title || "That did not work",
    detail: error.message,
    advice,
    difference: error.difference,
  });
  const button = part.querySelector("button");
  const act = { plan, retry: again, agent }[next];
  button.hidden = !act;
  if (act) [button.textContent, button.onclick] = [BUTTONS[next], () => { part.remove(); act(); }];
  by("refusal").replaceChildren(part);
  if (error.locked) demand(() => { part.remove(); return again(); });
  else part.querySelector("h3").focus();
}
