// Keeps the screen of a phone from going dark in the middle of a call. Knows no call.

/** A promise of the lock. */
let lock = null;

export function keepAwake() {
  lock ??= navigator.wakeLock?.request("screen").catch(() => null) ?? null;
}

export function sleepAgain() {
  lock?.then((held) => held?.release()).catch(() => {});
  lock = null;
}

// The browser lets go of it while nobody looks.
document.addEventListener("visibilitychange", () => {
  if (document.hidden || !lock) return;
  sleepAgain();
  keepAwake();
});
