// Small help on every page. All pages work without it; charts and live updates are what need scripts.
import "./checked.ts";
import { suggestKey } from "./key.ts";
import { listen } from "./stream.ts";
import { ago, word } from "./text.ts";
import { swap } from "./swap.ts";
import { toast } from "./toast.ts";

const TYPING_MS = 220;
const GATHER_MS = 250;
const YEAR_SECONDS = 31_536_000;

function rememberZone(): void {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && !document.cookie.includes("zone=")) {
    document.cookie = `zone=${zone}; path=/; max-age=${YEAR_SECONDS}; samesite=lax`;
  }
}

function relativeTimes(): void {
  const now = Date.now();
  for (const time of document.querySelectorAll<HTMLElement>("time[data-ago]")) {
    time.textContent = ago(Number(time.dataset["ago"]), now);
  }
}

function openDialog(id: string): void {
  const dialog = document.getElementById(id);
  if (!(dialog instanceof HTMLDialogElement) || dialog.open) return;
  dialog.showModal();
  // The browser takes the first control, which closes; a person came to fill in the first field.
  dialog.querySelector<HTMLElement>(".dialog-body :is(input:not([type=hidden]), select, textarea)")?.focus();
}

async function copyText(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    toast(word("copied"));
  } catch {
    toast(word("failed"));
  }
}

function button(text: string, kind: string, value: string): HTMLButtonElement {
  const made = document.createElement("button");
  made.className = `button ${kind}`;
  made.value = value;
  made.textContent = text;
  return made;
}

function confirmed(question: string, deed: string): Promise<boolean> {
  const dialog = document.createElement("dialog");
  const form = document.createElement("form");
  form.method = "dialog";
  form.className = "dialog-body";
  const text = document.createElement("p");
  text.textContent = question;
  text.style.paddingTop = "14px";
  const actions = document.createElement("div");
  actions.className = "actions";
  actions.append(button(word("cancel"), "quiet", "no"), button(deed || word("yes"), "danger", "yes"));
  form.append(text, actions);
  dialog.append(form);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
  });
}

document.addEventListener("click", (event) => {
  const target = event.target instanceof Element ? event.target : null;
  const opener = target?.closest<HTMLElement>("[data-opens]");
  if (opener) openDialog(opener.dataset["opens"] ?? "");
  const copier = target?.closest<HTMLElement>("[data-copy]");
  if (copier) void copyText(copier.dataset["copy"] ?? "");
  // A click beside the dialog closes it.
  if (target instanceof HTMLDialogElement) {
    const box = target.getBoundingClientRect();
    const inside = event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
    if (!inside) target.close();
  }
});

document.addEventListener("submit", (event) => {
  const form = event.target as HTMLFormElement;
  const question = form.dataset["confirm"];
  if (question === undefined || form.dataset["confirmed"]) return;
  event.preventDefault();
  const submitter = (event as SubmitEvent).submitter;
  // What the button says, so that nobody has to read the question twice.
  void confirmed(question || word("confirm"), submitter?.textContent?.trim() ?? "").then((yes) => {
    if (!yes) return;
    form.dataset["confirmed"] = "yes";
    form.requestSubmit(submitter);
  });
});

// Lists follow as one types: the address changes and the region is replaced.
let typing = 0;
function narrow(form: HTMLFormElement): void {
  const region = form.dataset["filter"];
  if (!region) return;
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (typeof value === "string" && value) query.set(name, value);
  const url = `${location.pathname}${query.size ? `?${query}` : ""}`;
  history.replaceState(null, "", url);
  swap(url, [region]).catch((error: unknown) => {
    if (!(error instanceof DOMException)) toast(word("failed"));
  });
}
document.addEventListener("input", (event) => {
  const form = (event.target as Element).closest<HTMLFormElement>("form[data-filter]");
  if (!form) return;
  clearTimeout(typing);
  typing = window.setTimeout(() => narrow(form), event.target instanceof HTMLSelectElement ? 0 : TYPING_MS);
});

// A long list of boxes: only those that hold every word are seen; what is ticked stays ticked.
document.addEventListener("input", (event) => {
  const field = event.target as HTMLInputElement;
  if (field.dataset["sift"] === undefined) return;
  const words = field.value.toLowerCase().split(/\s+/);
  for (const label of field.closest(".field")?.querySelectorAll("label") ?? []) {
    const text = label.textContent?.toLowerCase() ?? "";
    label.hidden = !words.every((each) => text.includes(each));
  }
});
// Enter would save the form.
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.target as HTMLElement).dataset["sift"] !== undefined) event.preventDefault();
});

// Keyboard: "/" searches, "g" and a letter goes to a page, "?" tells all of it, Escape leaves the menu.
let went = 0;
document.addEventListener("keydown", (event) => {
  const here = event.target as HTMLElement;
  if (event.key === "Escape" && location.hash === "#menu") location.hash = "";
  if (event.ctrlKey || event.metaKey || event.altKey || here.closest("input, select, textarea, dialog, [contenteditable]")) return;
  if (event.key === "/") {
    const fields = document.querySelectorAll<HTMLInputElement>("main [data-search], [data-search]");
    const field = document.querySelector<HTMLInputElement>("main [data-search]") ?? fields[0];
    if (field) {
      event.preventDefault();
      field.focus();
      field.select();
    }
  } else if (event.key === "?") {
    event.preventDefault();
    openDialog("keys");
  } else if (event.key === "g") {
    went = Date.now();
  } else if (Date.now() - went < 1500) {
    went = 0;
    document.querySelector<HTMLAnchorElement>(`[data-key="g ${CSS.escape(event.key)}"]`)?.click();
  }
});

// Regions that the server says have changed: <div id=… data-live="/live/overview">.
function follow(): void {
  const regions = [...document.querySelectorAll<HTMLElement>("[data-live]")];
  const address = regions[0]?.dataset["live"];
  if (!address) return;
  const ids = regions.map((region) => region.id);
  let waiting = 0;
  let behind = false;
  function look(): void {
    // Nobody looks: it is enough to look again when somebody does.
    if (document.hidden) behind = true;
    else if (!waiting) waiting = window.setTimeout(show, GATHER_MS);
  }
  function show(): void {
    waiting = 0;
    behind = false;
    swap(location.href, ids).catch((error: unknown) => {
      // Whatever was shown before is old now, unless another look has taken this one's place.
      if (!(error instanceof DOMException)) behind = true;
    });
  }
  document.addEventListener("visibilitychange", () => {
    if (behind && !document.hidden) show();
  });
  listen(address, { changed: look }, look);
}

document.documentElement.classList.add("scripted");
rememberZone();
suggestKey();
relativeTimes();
setInterval(relativeTimes, 5000);
document.addEventListener("swapped", relativeTimes);
// What went wrong first; else what a page without a menu is there for, such as signing in.
(document.querySelector<HTMLElement>("[data-focus]") ?? document.querySelector<HTMLElement>(".gate input:not([type=hidden])"))?.focus();
const said = document.querySelector<HTMLElement>("[data-toast]");
if (said) {
  toast(said.dataset["toast"] ?? "");
  // Loading the page again does nothing again.
  const address = new URL(location.href);
  address.searchParams.delete("done");
  history.replaceState(null, "", address);
}
follow();
