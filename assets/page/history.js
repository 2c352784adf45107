// The calls of this tab, newest first. Knows neither page nor call; kept in the storage it is given,
// which forgets with the tab.

const KEY = "peer.calls";
const MOST = 50;

export class History {
  #storage;
  #calls;

  constructor(storage) {
    this.#storage = storage;
    this.#calls = read(storage);
  }

  /** `{ who, incoming, answered, connected, rejected, outcome, at, seconds }`, with `at` in milliseconds since 1970. */
  add(call) {
    this.#calls = [call, ...this.#calls].slice(0, MOST);
    this.#write();
  }

  clear() {
    this.#calls = [];
    this.#write();
  }

  get calls() {
    return this.#calls;
  }

  #write() {
    try {
      this.#storage?.setItem(KEY, JSON.stringify(this.#calls));
    } catch {
      // Full or forbidden: then only this page remembers.
    }
  }
}

function read(storage) {
  try {
    const calls = JSON.parse(storage?.getItem(KEY) ?? "[]");
    return Array.isArray(calls) ? calls.filter(isCall).slice(0, MOST) : [];
  } catch {
    return [];
  }
}

function isCall(call) {
  return typeof call?.who === "string" && Number.isFinite(call.at);
}

/** The time of day; for older ones the day as well. */
export function timeOf(at, now) {
  const [then, today] = [new Date(at), new Date(now)];
  const time = then.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  if (then.toDateString() === today.toDateString()) return time;
  return `${then.toLocaleDateString([], { day: "numeric", month: "short" })}, ${time}`;
}
