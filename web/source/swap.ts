// Replaces one region of a page by the same region of a page fetched from our own server.

type Policy = { createHTML(text: string): string };
declare global {
  interface Window {
    trustedTypes?: { createPolicy(name: string, rules: { createHTML(text: string): string }): Policy };
  }
}

// The only HTML ever parsed is what our own server rendered, with everything foreign escaped.
const policy: Policy = window.trustedTypes?.createPolicy("sigap", { createHTML: (text) => text }) ?? {
  createHTML: (text) => text,
};

let running: AbortController | undefined;

export async function swap(url: string, ids: string[]): Promise<void> {
  running?.abort();
  const mine = (running = new AbortController());
  const response = await fetch(url, { headers: { Accept: "text/html" }, signal: mine.signal });
  if (!response.ok || response.redirected) throw new Error(`${response.status}`);
  const text = await response.text();
  const page = new DOMParser().parseFromString(policy.createHTML(text), "text/html");
  for (const id of ids) {
    const now = document.getElementById(id);
    const next = page.getElementById(id);
    if (now && next) replace(now, next);
  }
  document.dispatchEvent(new CustomEvent("swapped"));
}

function replace(now: HTMLElement, next: HTMLElement): void {
  // What a person is using must not move under their hands.
  if (now.contains(document.activeElement) && document.activeElement?.matches("input, select, textarea")) return;
  const scroll = now.scrollLeft;
  const focused = now.contains(document.activeElement) ? (document.activeElement as HTMLAnchorElement).href : "";
  for (const opened of now.querySelectorAll<HTMLDetailsElement>("details[id][open]")) {
    next.querySelector(`#${CSS.escape(opened.id)}`)?.setAttribute("open", "");
  }
  now.replaceWith(document.adoptNode(next));
  next.scrollLeft = scroll;
  if (focused) next.querySelector<HTMLElement>(`a[href="${CSS.escape(new URL(focused).pathname)}"]`)?.focus();
}
