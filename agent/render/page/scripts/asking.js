// Talking to the node. A token lives in this variable alone: in no storage, no address, no attribute; a reload forgets it.
let token = "";
// How far the node's clock is ahead of this one, in milliseconds: a fix ends by the node's.
let ahead = 0;

const by = (id) => document.getElementById(id);
const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const say = (words) => { by("live").textContent = words; };
const key = () => (token ? { Authorization: `Bearer ${token}` } : {});

// Strangers' characters that could steer the eye, as agent.render.clean writes them.
function clean(text) {
  return String(text).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (character) => {
    const code = character.codePointAt(0);
    const digits = code < 0x100 ? 2 : code < 0x10000 ? 4 : 8;
    return `\\${{ 2: "x", 4: "u", 8: "U" }[digits]}${code.toString(16).padStart(digits, "0")}`;
  });
}

// A problem as RFC 9457 tells it; `kind` and `difference` where a fix was refused.
class Refusal extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `HTTP ${status}`);
    Object.assign(this, { status, kind: problem.kind || "", title: problem.title || "", difference: problem.difference || [] });
  }

  // Somebody else's token would help.
  get locked() { return this.status === 401 || (this.status === 403 && !this.kind); }
}

async function ask(method, path, body) {
  const headers = { Accept: "application/json", ...key() };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await reach(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const text = await answer.text();
  const data = /\bjson\b/.test(answer.headers.get("Content-Type")) ? JSON.parse(text) : {};
  if (!answer.ok) throw new Refusal(answer.status, data);
  return data;
}

async function reach(path, request) {
  let answer;
  try {
    answer = await fetch(path, { cache: "no-store", ...request });
  } catch {
    throw new Refusal(0, { title: "No answer", detail: "The node did not answer: is kubereach still running there, and the way to it open?" });
  }
  const date = Date.parse(answer.headers.get("Date"));
  if (date) ahead = date - Date.now();
  return answer;
}

// The page anew, in this document: navigating would forget the token.
async function redraw() {
  const answer = await reach("./", { headers: { Accept: "text/html", ...key() } });
  const text = await answer.text();
  if (!(answer.headers.get("Content-Type") || "").startsWith("text/html")) throw new Refusal(answer.status, JSON.parse(text));
  const fresh = new DOMParser().parseFromString(text, "text/html");
  if (answer.status === 401) throw new Refusal(401, { detail: fresh.getElementById("live").textContent });
  document.title = fresh.title;
  document.body.replaceWith(document.adoptNode(fresh.body));
  await wire();
}

// Asks for a token and goes on with `then` once there is one.
function demand(then) {
  by("key").hidden = false;
  by("key").onsubmit = async (event) => {
    event.preventDefault();
    token = by("token").value.trim();
    by("token").value = "";
    by("key").hidden = true;
    try {
      await then();
    } catch (error) {
      by("key").hidden = false;
      say(clean(error.message));
      by("token").focus();
    }
  };
  by("token").focus();
}

// A link of ours opened with a token: a browser sends none by itself.
async function save(link) {
  const answer = await reach(link.getAttribute("href"), { headers: key() });
  if (!answer.ok) return say(`That did not work: HTTP ${answer.status}.`);
  const file = document.createElement("a");
  file.href = URL.createObjectURL(await answer.blob());
  file.download = link.getAttribute("href").replace(/^v1\//, "").replace(/[^\w.]+/g, "-");
  file.click();
  URL.revokeObjectURL(file.href);
}
