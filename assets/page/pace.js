// How often others can make the page speak. Pure: the time is handed in, in milliseconds.
//
// Whoever repeats an offer would have us say an answer and a dozen candidates each time, or no each time,
// and a server closes who says too much. `peer` does the same (call/answering.rs, client/outbox.rs).

/** Offers of a call that are looked at, a second and at once: one that changes networks needs a few. */
const OFFERS = [1, 5];
/** Refusals, a second and at once, and how far two to the same name are apart. */
const REFUSALS = [10, 30];
const APART = 100;
const MOST = 256;

/** Fills with time: so many a second, and so many at most. */
class Bucket {
  #rate;
  #most;
  #has;
  #at = null;

  constructor([aSecond, atOnce]) {
    [this.#rate, this.#most, this.#has] = [aSecond / 1000, atOnce, atOnce];
  }

  /** Takes one, if there is one. */
  take(now) {
    this.#fill(now);
    if (this.#has < 1) return false;
    this.#has -= 1;
    return true;
  }

  /** How long it takes until there is one. */
  due(now) {
    this.#fill(now);
    return Math.max(0, (1 - this.#has) / this.#rate);
  }

  #fill(now) {
    const passed = Math.max(0, now - (this.#at ?? now));
    this.#has = Math.min(this.#most, this.#has + passed * this.#rate);
    this.#at = now;
  }
}

/** What the other side of a call sends, in its order; of offers that come too fast the latest has its turn. */
export class Offers {
  #bucket = new Bucket(OFFERS);
  /** The latest offer that came too soon, and what came after it. */
  #held = [];

  /** Whether a message is looked at now; if not, `release` has it in time. */
  admit(message, now) {
    if (message.type === "offer") {
      const may = this.#bucket.take(now);
      this.#held = may ? [] : [message];
      return may;
    }
    // They have answered an offer of ours, and with that given up theirs.
    if (message.type === "answer") this.#held = [];
    if (this.#held.length === 0) return true;
    if (this.#held.length < MOST) this.#held.push(message);
    return false;
  }

  /** How long until something is released; null where nothing waits. */
  due(now) {
    return this.#held.length > 0 ? this.#bucket.due(now) : null;
  }

  /** The messages whose turn it is. */
  release(now) {
    return this.#held.length > 0 && this.#bucket.take(now) ? this.#held.splice(0) : [];
  }
}

/** Messages that say no, each to the `name` that it has: who asks again hears once at a moment, and the latest. */
export class Refusals {
  #bucket = new Bucket(REFUSALS);
  #waiting = new Map();
  /** When who was told. */
  #told = new Map();

  put(message) {
    const { name } = message;
    if (this.#waiting.has(name) || this.#waiting.size < MOST) this.#waiting.set(name, message);
  }

  /** What was not said yet to this one is not true any more. */
  forget(name) {
    this.#waiting.delete(name);
  }

  /** What may be said now, or null. */
  poll(now) {
    for (const [name, at] of this.#told) if (now - at >= APART) this.#told.delete(name);
    for (const [name, message] of this.#waiting) {
      if (this.#told.has(name)) continue;
      if (!this.#bucket.take(now)) return null;
      this.#waiting.delete(name);
      this.#told.set(name, now);
      return message;
    }
    return null;
  }

  /** How long until something may be said; null where nothing waits. */
  due(now) {
    const turns = [...this.#waiting.keys()].map((name) => (this.#told.get(name) ?? -Infinity) + APART - now);
    return turns.length > 0 ? Math.max(this.#bucket.due(now), Math.min(...turns)) : null;
  }
}

/** A caller who was not let through is listed once a minute, however often he calls. */
export class Listed {
  #at = new Map();

  /** Whether to list him. */
  again(name, now) {
    for (const [other, at] of this.#at) if (now - at >= 60_000) this.#at.delete(other);
    if (this.#at.has(name) || this.#at.size >= MOST) return false;
    this.#at.set(name, now);
    return true;
  }
}
