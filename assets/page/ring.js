// What rings: a tone, the title and icon of the tab, the phone's motor, and a notification where the
// user has asked for it. Knows no call.

import { named } from "./words.js";

const ICON = "icon.svg";
const RINGING_ICON = "icon-ringing.svg";
/** Hertz, start and length in seconds; then how often. Two soft steps up, a pause. */
const INCOMING = { notes: [[523, 0, 0.5], [659, 0.22, 0.5], [784, 0.44, 0.8]], every: 2600, volume: 0.16 };
/** What a caller hears while it rings there. */
const OUTGOING = { notes: [[425, 0, 0.9]], every: 4000, volume: 0.05 };

export class Ring {
  tone = true;
  notify = false;
  #context = null;
  #title = document.title;
  #repeat = 0;
  #blink = 0;
  #gain = null;
  #notification = null;

  /** To be called in a click or key press: only then may a page make sound. */
  unlock() {
    this.#context ??= "AudioContext" in window ? new AudioContext() : null;
    this.#context?.resume().catch(() => {});
  }

  /** Rings until `stop`. */
  incoming(who) {
    this.stop();
    this.#show(`${named(who)} is calling`);
    navigator.vibrate?.([300, 200, 300]);
    if (this.tone) this.#play(INCOMING);
    if (this.notify && document.hidden) this.#say(`${named(who)} is calling`);
  }

  outgoing() {
    this.stop();
    if (this.tone) this.#play(OUTGOING);
  }

  stop() {
    clearInterval(this.#repeat);
    clearInterval(this.#blink);
    this.#blink = 0;
    this.#gain?.gain.setTargetAtTime(0, this.#context.currentTime, 0.02);
    this.#gain = null;
    this.#notification?.close();
    this.#notification = null;
    document.title = this.#title;
    icon(ICON);
  }

  /** The title of a tab that does not ring. */
  set title(text) {
    this.#title = text;
    if (!this.#blink) document.title = text;
  }

  /** Asks for leave to notify; to be called in a click. */
  async allowNotifications() {
    if (!("Notification" in window)) return false;
    return (await Notification.requestPermission()) === "granted";
  }

  #show(text) {
    let on = true;
    const step = () => {
      document.title = on ? text : this.#title;
      icon(on ? RINGING_ICON : ICON);
      on = !on;
    };
    step();
    this.#blink = setInterval(step, 1000);
  }

  #say(text) {
    try {
      this.#notification = new Notification(text, { tag: "peer", icon: ICON });
      this.#notification.onclick = () => window.focus();
    } catch {
      // Some phones have the name but not the thing.
    }
  }

  #play({ notes, every, volume }) {
    if (!this.#context) return;
    const gain = this.#context.createGain();
    gain.gain.value = volume;
    gain.connect(this.#context.destination);
    this.#gain = gain;
    const once = () => {
      for (const [hertz, start, length] of notes) this.#note(gain, hertz, start, length);
    };
    once();
    this.#repeat = setInterval(once, every);
  }

  #note(gain, hertz, start, length) {
    const at = this.#context.currentTime + 0.03 + start;
    const oscillator = this.#context.createOscillator();
    const swell = this.#context.createGain();
    oscillator.frequency.value = hertz;
    swell.gain.setValueAtTime(0, at);
    swell.gain.linearRampToValueAtTime(1, at + 0.03);
    swell.gain.setTargetAtTime(0, at + length / 2, length / 6);
    oscillator.connect(swell).connect(gain);
    oscillator.start(at);
    oscillator.stop(at + length);
  }
}

function icon(href) {
  const link = document.querySelector("link[rel=icon]");
  if (link.getAttribute("href") !== href) link.setAttribute("href", href);
}
