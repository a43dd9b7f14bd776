// A stream of events from our own server that comes back after every interruption, and says when something was missed.
import { word } from "./text.ts";
import { toast } from "./toast.ts";

const AGAIN_MS = 5000;

// `missed` is called when a stream is back after an interruption: what happened meanwhile was not heard. Of several
// streams of a page only one should not be `quiet`, so that an interruption is told once.
export function listen(address: string, heard: Record<string, (data: string) => void>, missed: () => void, quiet = false): void {
  const light = document.getElementById("live");
  let stream: EventSource | undefined;
  let interrupted = false;
  let stale = false;

  function open(): void {
    const mine = (stream = new EventSource(address));
    mine.addEventListener("open", () => {
      light?.classList.add("on");
      if (interrupted && !quiet) toast(word("online"));
      if (interrupted || stale) missed();
      interrupted = stale = false;
    });
    mine.addEventListener("error", () => {
      light?.classList.remove("on");
      if (!interrupted && !quiet) toast(word("offline"));
      interrupted = true;
      // A refused connection is tried again by the browser, an answer that is no stream by nobody.
      if (mine.readyState === EventSource.CLOSED) window.setTimeout(() => mine === stream && open(), AGAIN_MS);
    });
    for (const [name, take] of Object.entries(heard)) {
      mine.addEventListener(name, (event) => take((event as MessageEvent<string>).data));
    }
  }

  open();
  window.addEventListener("pagehide", () => {
    stream?.close();
    stream = undefined;
  });
  // Back by the browser's own history, as it was left: what it shows is of then.
  window.addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    stale = true;
    open();
  });
}
