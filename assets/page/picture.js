// The other side's picture and sound, and whether there is any. Knows no call.

import { find, show } from "./dom.js";

/** So many readings without a new picture, and there is none. */
const STILL_AFTER = 4;

export class Picture {
  #changed;
  #frames = 0;
  #still = 0;

  /** `changed` is called when `isThere` may be different. */
  constructor(changed) {
    this.#changed = changed;
    find("listen").onclick = () => this.#play();
    for (const event of ["resize", "playing", "emptied"]) find("remote").addEventListener(event, changed);
  }

  get isThere() {
    const { videoWidth, srcObject } = find("remote");
    return Boolean(srcObject) && videoWidth > 0 && this.#still < STILL_AFTER;
  }

  /** A stream, or null after the call. */
  show(stream) {
    const remote = find("remote");
    show("listen", false);
    if (remote.srcObject === stream) return;
    remote.srcObject = stream;
    [this.#frames, this.#still] = [0, 0];
    if (stream) this.#play();
  }

  /** To be called once a second with how many pictures were decoded so far. */
  count(frames) {
    this.#still = frames > this.#frames ? 0 : this.#still + 1;
    this.#frames = frames;
    this.#changed();
  }

  /** A browser may want a click before there is sound. */
  async #play() {
    try {
      await find("remote").play();
      show("listen", false);
    } catch (error) {
      show("listen", error.name === "NotAllowedError");
    }
  }
}
