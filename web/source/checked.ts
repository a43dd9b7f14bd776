// Forms that are checked while they are filled: <form class="checked">. The server judges; this only shows what it says,
// and only about fields that the person has left. Without scripts the same errors come with the answer to "Save".

const touched = new WeakMap<HTMLFormElement, Set<string>>();
let asking: AbortController | undefined;

function show(form: HTMLFormElement, name: string, message: string): void {
  const control = form.querySelector<HTMLElement>(`#field-${CSS.escape(name)}`);
  const field = control?.closest<HTMLElement>(".field");
  if (!control || !field) return;
  const id = `error-${name}`;
  let line = document.getElementById(id);
  field.classList.toggle("bad", message !== "");
  if (message) {
    if (!line) {
      line = document.createElement("p");
      line.className = "error";
      line.id = id;
      (field.querySelector(".control") ?? field.lastElementChild)?.after(line);
    }
    line.textContent = message;
    control.setAttribute("aria-invalid", "true");
    control.setAttribute("aria-describedby", `${id} help-${name}`);
  } else {
    line?.remove();
    control.removeAttribute("aria-invalid");
  }
}

async function check(form: HTMLFormElement): Promise<void> {
  asking?.abort();
  const mine = (asking = new AbortController());
  const body = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (typeof value === "string") body.append(name, value);
  body.append("check", "1");
  const response = await fetch(form.action, { method: "POST", body, signal: mine.signal });
  if (!response.ok || response.redirected) return;
  const answer = (await response.json()) as { fields: Record<string, string> };
  for (const name of touched.get(form) ?? []) show(form, name, answer.fields[name] ?? "");
}

document.addEventListener("change", (event) => {
  const control = event.target as HTMLInputElement;
  const form = control.closest<HTMLFormElement>("form.checked");
  if (!form || !control.name) return;
  touched.set(form, (touched.get(form) ?? new Set()).add(control.name));
  // Saving says the same: a check that cannot be made is not worth a message of its own.
  check(form).catch(() => undefined);
});
