// A login and at most one call: who may ring, what a message means now, how a call ends. Knows no page.

import { Call, comesFirst, identity, isLaterRound } from "./call.js";
import { Listed, Offers, Refusals } from "./pace.js";
import { Signaling } from "./signaling.js";
import * as words from "./words.js";

const RINGS_FOR = 60_000;
const CONNECTS_WITHIN = 20_000;
const MOST_WAITING = 256;
/** Calls that are over and remembered, so that a late offer of theirs does not ring. */
const MOST_OVER = 32;
/** How long a word of theirs may take when they have closed the connection already. */
const LAST_WORD = 1000;
/** Who loses the server and the path so soon one after the other has ended. */
const GONE = 15_000;

export class Phone {
  me = "";
  /** out, arriving, online or away. */
  server = "out";
  /**
   * The call: `who`, `incoming`, `at`, `stage` and, once connected, `connectedAt` and `safetyWords`. Stages: asking (for
   * devices), calling, ringing, connecting, connected, reconnecting.
   */
  call = null;
  #devices;
  #on;
  #url = "";
  #signaling = null;
  #iceServers = [];
  /** Whether the server says who sent what and who is not there; the tutorial's does neither. */
  #tells = false;
  #onlyWatches = false;
  #over = [];
  #refusals = new Refusals();
  #refusing = 0;
  #turnedAway = new Listed();

  /**
   * `on` has: changed(), said(text, tone), refused(code, text), picture(stream or null),
   * ended(call), devicesMissing(problems, who), and nothingToSend(problems, who), a promise of "go",
   * "retry" or "cancel".
   */
  constructor(devices, on) {
    this.#devices = devices;
    this.#on = on;
  }

  logIn(url, name, token) {
    this.#signaling?.close();
    [this.me, this.server, this.#url] = [name, "arriving", url];
    this.#signaling = new Signaling(url, token ? { name, token } : { name }, {
      loggedIn: (reply) => {
        this.server = "online";
        this.#takeServers(reply);
        // A server that has begun anew believes only two who both say that they are in a call.
        const still = this.call && typeof reply.resume === "string";
        if (still) this.#send(this.call, { type: "candidate", candidate: null });
        this.#on.changed();
      },
      refreshed: (reply) => this.#takeServers(reply),
      refused: (code, detail) => {
        this.#signaling = null;
        this.server = "out";
        this.#on.refused(code, words.loginRefused(code, this.me, this.#url, detail));
        this.#on.changed();
      },
      offline: () => {
        this.server = "away";
        // A server that comes back may have forgotten them, and not every one survives that.
        if (this.call) this.call.seen &&= this.#tells;
        this.#on.changed();
      },
      message: (message) => this.#receive(message),
    });
    this.#on.changed();
  }

  logOut() {
    this.hangUp();
    this.#signaling?.close();
    this.#signaling = null;
    this.server = "out";
    this.#tells = false;
    this.#on.changed();
  }

  async callSomebody(name) {
    if (this.call || this.server !== "online" || !name || name === this.me) return;
    const call = this.#begin(name, false, "asking");
    if (!(await this.#prepare(call))) return this.#end(call, "", "rejected", "plain", "Cancelled");
    // They called, too, while we were asked for devices.
    if (call.waiting.length > 0) return this.#join(call);
    this.#to(call, "calling");
    this.#connect(call).offer();
    const givesUp = () => this.#end(call, words.noAnswer(name, this.#tells), "timeout", "plain", "No answer");
    call.timer = setTimeout(givesUp, RINGS_FOR);
  }

  async answer() {
    const call = this.call;
    if (call?.stage !== "ringing" || call.answering) return;
    call.answering = true;
    const ready = await this.#prepare(call);
    call.answering = false;
    if (ready && call.stage === "ringing") this.#join(call);
    else this.#on.changed();
  }

  reject() {
    if (this.call?.stage !== "ringing") return;
    this.call.rejected = true;
    this.#end(this.call, `You rejected the call from ${words.named(this.call.who)}`, "rejected");
  }

  hangUp(text = "You hung up") {
    if (this.call?.stage === "ringing") this.reject();
    else if (this.call) this.#end(this.call, text, "hangup", "plain", "Cancelled");
  }

  /** The page goes away. Who calls is told so by the server: nobody has rejected anything. */
  leave() {
    if (this.call?.stage !== "ringing") this.hangUp();
    this.#signaling?.close();
  }

  /** Sends another track of this kind, or none, in the running call. */
  setTrack(kind, track) {
    this.call?.link?.setTrack(kind, track);
  }

  /** RTCStatsReport of the running call, or null. */
  stats() {
    return this.call?.link?.stats() ?? null;
  }

  #begin(who, incoming, stage) {
    this.call = { who, incoming, stage, at: Date.now(), seen: incoming, waiting: [], offers: new Offers() };
    this.#refusals.forget(who);
    this.#on.changed();
    return this.call;
  }

  #to(call, stage) {
    call.stage = stage;
    this.#on.changed();
  }

  /** Opens the devices; false when the call is over or the user would rather not. */
  async #prepare(call) {
    for (;;) {
      const problems = await this.#devices.open();
      if (this.call !== call) return false;
      const { audio, video } = this.#devices.tracks;
      if (audio || video || this.#onlyWatches) {
        this.#on.devicesMissing(problems, call.who);
        return true;
      }
      call.deciding = true;
      this.#on.changed();
      const choice = await this.#on.nothingToSend(problems, call.who);
      call.deciding = false;
      if (this.call !== call || choice === "cancel") return false;
      if (choice === "go") {
        this.#onlyWatches = true;
        return true;
      }
    }
  }

  #connect(call) {
    const yields = !comesFirst(this.me, call.who);
    const setup = { iceServers: this.#iceServers, tracks: this.#devices.tracks, yields };
    const link = new Call(setup, {
      send: (message) => this.#send(call, message),
      picture: (stream) => this.#on.picture(stream),
      up: () => {
        clearTimeout(call.timer);
        call.connectedAt ??= Date.now();
        this.#to(call, "connected");
        this.#compare(call, link);
      },
      trouble: () => {
        // First the server said that they are gone, and now nothing comes: their program has ended.
        if (Date.now() - (call.goneAt ?? -Infinity) < GONE) this.#end(call, `${words.named(call.who)} is gone`, "failed");
        else this.#to(call, "reconnecting");
      },
      closed: () => {
        const end = () => this.#end(call, words.theyLeft(call.who, "connected", "hangup"));
        if (this.server === "online") setTimeout(end, LAST_WORD);
        else end();
      },
      failed: (wasUp, isImpostor) => {
        // One that lost a glare ends while its successor runs.
        if (call.link !== link) return;
        if (isImpostor) return this.#end(call, words.impostor(call.who), "impostor", "error", "Not verified");
        const text = wasUp ? words.pathLost(call.who) : words.noPath(call.who, this.#iceServers);
        this.#end(call, text, "failed", "error", "No connection");
      },
    });
    call.link = link;
    return link;
  }

  /** Both sides can read these words to each other. */
  async #compare(call, link) {
    if (call.safetyWords !== undefined) return;
    const found = await link.safetyWords().catch((error) => console.warn(error.message));
    if (call.link !== link) return;
    call.safetyWords = found ?? "";
    this.#on.changed();
  }

  #join(call) {
    clearTimeout(call.timer);
    const messages = call.waiting.splice(0);
    call.link?.close();
    const link = this.#connect(call);
    for (const message of messages) link.take(message);
    this.#connecting(call);
  }

  #connecting(call) {
    clearTimeout(call.timer);
    const text = words.noPath(call.who, this.#iceServers);
    const givesUp = () => this.#end(call, text, "failed", "error", "No connection");
    call.timer = setTimeout(givesUp, CONNECTS_WITHIN);
    this.#to(call, "connecting");
  }

  #send(call, message) {
    this.#signaling?.send({ ...message, name: call.who });
  }

  /** Ends the call; with a reason, the other side is told, if it is sure to exist. */
  #end(call, text, leaveReason = null, tone = "plain", outcome = undefined) {
    if (this.call !== call) return;
    clearTimeout(call.timer);
    clearTimeout(call.later);
    this.call = null;
    call.outcome = outcome;
    const theirs = call.link?.theirs;
    if (theirs) this.#over = [{ theirs, reason: leaveReason ?? "hangup" }, ...this.#over].slice(0, MOST_OVER);
    if (this.server !== "online") this.#signaling?.drop(call.who);
    const sent = call.link || call.incoming || call.waiting.length > 0;
    if (leaveReason && sent && (call.seen || this.#tells)) {
      this.#send(call, { type: "leave", reason: leaveReason });
    }
    call.link?.close();
    this.#on.picture(null);
    this.#on.ended(call);
    this.#on.said(text, tone);
    this.#on.changed();
  }

  #takeServers({ iceServers }) {
    if (!Array.isArray(iceServers)) return;
    this.#iceServers = iceServers;
    this.#tells = true;
    this.call?.link?.setIceServers(iceServers);
  }

  #receive(message) {
    const { type } = message;
    const name = typeof message.name === "string" ? message.name : null;
    if (type === "offer") {
      if (name !== null) this.#offered(message, name);
      return;
    }
    this.#tells ||= name !== null || message.code === "unknown-user";
    const call = this.call;
    if (!call || (name !== null && name !== call.who)) return;
    if (type === "error") {
      // To a name that nobody can have, nothing is forwarded either.
      const nobody = ["unknown-user", "invalid-message"].includes(message.code);
      const unknown = nobody && call.stage === "calling";
      if (unknown) this.#end(call, words.notOnline(call.who), null, "plain", "Not online");
      return;
    }
    if (type === "leave") return this.#left(call, message.reason);
    if (type !== "answer" && type !== "candidate") return;
    // Without a name, a candidate may come from somebody else.
    call.seen ||= type === "answer" || name !== null;
    if (call.waiting.length > 0) {
      if (call.waiting.length < MOST_WAITING) call.waiting.push(message);
      return;
    }
    if (type === "answer" && call.stage === "calling") this.#connecting(call);
    this.#take(call, message);
  }

  /** Takes a message of a call, when it is its turn. */
  #take(call, message) {
    if (call.offers.admit(message, performance.now())) call.link?.take(message);
    else this.#takeLater(call);
  }

  #takeLater(call) {
    const due = call.offers.due(performance.now());
    if (call.later || due === null) return;
    const release = () => {
      call.later = 0;
      for (const message of call.offers.release(performance.now())) call.link?.take(message);
      this.#takeLater(call);
    };
    call.later = setTimeout(release, due);
  }

  /** Says no to somebody who calls, soon. */
  #refuse(name, reason) {
    this.#refusals.put({ type: "leave", name, reason });
    if (!this.#refusing) this.#sayNo();
  }

  #sayNo() {
    const now = performance.now();
    for (let no = this.#refusals.poll(now); no; no = this.#refusals.poll(now)) this.#signaling?.send(no);
    const due = this.#refusals.due(now);
    this.#refusing = due === null ? 0 : setTimeout(() => this.#sayNo(), due);
  }

  #offered(message, name) {
    const call = this.call;
    const over = this.#over.find(({ theirs }) => theirs === identity(message.offer));
    if (!call && (over || isLaterRound(message.offer))) {
      // Of a call that is over here; they do not know yet.
      this.#refuse(name, over?.reason ?? "failed");
      return undefined;
    }
    if (!call) return this.#ring(message, name);
    if (name !== call.who) {
      this.#refuse(name, "busy");
      const listed = this.#turnedAway.again(name, performance.now());
      if (listed) this.#on.ended({ who: name, incoming: true, at: Date.now() });
      return undefined;
    }
    [call.seen, call.goneAt] = [true, undefined];
    if (call.stage === "asking" || call.stage === "ringing") {
      call.waiting = [message];
      return undefined;
    }
    if (call.stage === "calling") {
      if (comesFirst(this.me, name)) return undefined; // Theirs gives way.
      call.waiting = [message];
      return this.#join(call);
    }
    if (call.link.knows(message.offer)) return this.#take(call, message);
    this.#end(call, `The call with ${words.named(name)} was interrupted`);
    return this.#ring(message, name);
  }

  #ring(message, name) {
    const call = this.#begin(name, true, "ringing");
    call.waiting = [message];
    const missed = `You missed a call from ${words.named(name)}`;
    call.timer = setTimeout(() => this.#end(call, missed, "timeout"), RINGS_FOR);
  }

  #left(call, reason) {
    // The tutorial's server may say it twice, or of a call before.
    if (call.stage === "asking" && call.waiting.length === 0) return;
    call.seen = false;
    // They have only lost the server: whether they are still there the connection tells.
    if (reason === "gone" && (call.stage === "connected" || call.stage === "reconnecting")) {
      if (call.stage === "connected") call.goneAt = Date.now();
      return;
    }
    const text = words.theyLeft(call.who, call.stage, reason);
    this.#end(call, text, null, "plain", words.outcomeOf(reason, call.stage));
  }
}
