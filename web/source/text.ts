// Words and numbers as the page's language writes them. The words come translated from the server.

const element = document.getElementById("messages");
const messages = JSON.parse(element?.textContent ?? "{}") as Record<string, string>;

// British, as the server writes it: 3 Nov, 5 min ago.
export const locale = document.documentElement.lang === "en" ? "en-GB" : document.documentElement.lang;
export const timeZone = document.documentElement.dataset["zone"] || undefined;

export function word(key: string): string {
  return messages[key] ?? key;
}

// Short Indonesian says "h" for a day, which reads as an hour: there the long words stand.
const style = locale === "id" ? "long" : "short";
const relative = new Intl.RelativeTimeFormat(locale, { numeric: "always", style });
const steps: [number, Intl.RelativeTimeFormatUnit][] = [
  [86_400_000, "day"],
  [3_600_000, "hour"],
  [60_000, "minute"],
  [1000, "second"],
];

export function ago(unixMs: number, nowMs: number): string {
  const difference = unixMs - nowMs;
  if (Math.abs(difference) < 5000) return word("now");
  for (const [size, unit] of steps) {
    if (Math.abs(difference) >= size) return relative.format(Math.trunc(difference / size), unit).replace(" yang lalu", " lalu");
  }
  return word("now");
}

function significant(value: number): string {
  const size = Math.abs(value);
  const maximumFractionDigits = size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.01 || size === 0 ? 2 : 4;
  return new Intl.NumberFormat(locale, { maximumFractionDigits }).format(value);
}

function binary(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let size = value;
  let step = 0;
  while (Math.abs(size) >= 1024 && step < units.length - 1) {
    size /= 1024;
    step += 1;
  }
  return `${significant(size)} ${units[step]}`;
}

function stretch(seconds: number): string {
  if (Math.abs(seconds) < 1) return `${significant(seconds * 1000)} ms`;
  return `${significant(seconds)} ${word("s")}`;
}

const formats: Record<string, (value: number) => string> = {
  percent: (value) => `${significant(value * 100)}%`,
  bytes: binary,
  bytes_per_second: (value) => `${binary(value)}/${word("s")}`,
  seconds: stretch,
  per_second: (value) => `${significant(value)}/${word("s")}`,
};

export function quantity(value: number | null | undefined, unit: string): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  return (formats[unit] ?? significant)(value);
}

export function moment(unixSeconds: number, withDate: boolean): string {
  const options: Intl.DateTimeFormatOptions = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
  if (withDate) Object.assign(options, { day: "numeric", month: "short" });
  return new Intl.DateTimeFormat(locale, { ...options, ...(timeZone ? { timeZone } : {}) }).format(unixSeconds * 1000);
}
