// Events to what they do, for the page as it is drawn now: the report, or the door where a token is asked for.
async function wire() {
  counting += 1;
  if (by("locked")) return demand(redraw);
  by("again").onclick = look;
  by("copy").onclick = copy;
  by("actions").hidden = false;
  if (by("plan")) {
    by("plan").onclick = plan;
    by("mend").hidden = false;
  }
  try {
    await count();
  } catch (error) {
    say(`Fixes that may be open are not known: ${clean(error.message)}`);
  }
}

document.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="v1/"]');
  if (!link || !token) return;
  event.preventDefault();
  save(link).catch((error) => say(clean(error.message)));
});
wire();
