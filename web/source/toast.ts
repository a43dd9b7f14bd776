// A short message in the corner; it goes by itself and is read aloud by its live region.
const STAY_MS = 5000;

export function toast(text: string): void {
  const line = document.createElement("div");
  line.className = "toast";
  line.textContent = text;
  document.getElementById("toasts")?.append(line);
  setTimeout(() => line.remove(), STAY_MS);
}
