// Suggests the key of a new record from its name, until the person writes one. The server judges it like any other.

const LONGEST = 64;

function slug(text: string): string {
  const plain = text.normalize("NFKD").replace(/[^\x20-\x7e]/g, "").toLowerCase();
  const joined = plain.replace(/[^a-z0-9._]+/g, "-").slice(0, LONGEST);
  return joined.replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, "");
}

export function suggestKey(): void {
  const title = document.querySelector<HTMLInputElement>("#record-form #field-name");
  const key = document.querySelector<HTMLInputElement>("#record-form #field-key");
  if (!title || !key || key.disabled) return;
  let suggested = "";
  title.addEventListener("input", () => {
    if (key.value !== suggested) return;
    suggested = slug(title.value);
    key.value = suggested;
  });
  // Checked with the name when that is left, so that a suggestion which is taken already is seen at once.
  title.addEventListener("change", () => {
    if (suggested && key.value === suggested) key.dispatchEvent(new Event("change", { bubbles: true }));
  });
}
