// One peer connection and the order of its messages. Knows no page, no socket and no names.

import { safetyWords } from "./safety.js";

const KINDS = ["audio", "video"];
const MOST_CANDIDATES = 256;
/** A path that was lost may come back by itself; then the caller restarts ICE, then it is over. */
const RESTART_AFTER = 3000;
const GIVE_UP_AFTER = 33_000;
/** An offer in a running call that nobody answers is taken back. */
const ANSWERED_WITHIN = 15_000;

/** Of two names whose offers crossed, the one whose UTF-8 bytes come first keeps its offer. */
export function comesFirst(one, other) {
  const [a, b] = [one, other].map((name) => new TextEncoder().encode(name));
  for (let i = 0; i < Math.min(a.length, b.length); i += 1) {
    if (a[i] !== b[i]) return a[i] < b[i];
  }
  return a.length < b.length;
}

/** Whether an offer says that it belongs to a running call. */
export const isLaterRound = (offer) => /^a=peer-later-round\r?$/m.test(offer?.sdp ?? "");

/** The offer with a mark that it belongs to a running call; browsers pass over it. */
function markLater({ type, sdp }) {
  const at = sdp.indexOf("\nm=") + 1;
  return { type, sdp: at > 0 ? `${sdp.slice(0, at)}a=peer-later-round\r\n${sdp.slice(at)}` : sdp };
}

/** Whose description it is: the session and the certificate stay the same in all of a connection. */
export function identity(description) {
  const origin = /^o=(\S+ \S+)/m.exec(description?.sdp ?? "")?.[1];
  const certificate = fingerprints(description?.sdp);
  return certificate ? `${origin} ${certificate}` : null;
}

/** All that a description names, each once: one more would be another certificate. */
const fingerprints = (sdp) => {
  const found = [...(sdp ?? "").matchAll(/^a=fingerprint:(.*)$/gim)];
  return [...new Set(found.map(([, value]) => value.trim().toLowerCase()))].sort().join();
};

/** A server that hands out what the browser does not understand shall not prevent a call. */
function connectionWith(iceServers) {
  try {
    return new RTCPeerConnection({ iceServers });
  } catch (error) {
    console.warn(error.message);
    return new RTCPeerConnection();
  }
}

export class Call {
  #connection;
  #on;
  #yields;
  #tracks;
  #stream;
  /** What the other side sends without saying what belongs together. */
  #loose = new MediaStream();
  #candidates = [];
  #work = Promise.resolve();
  #over = false;
  #offered = false;
  #established = false;
  #wasUp = false;
  #restart = 0;
  #giveUp = 0;
  #unanswered = 0;

  /**
   * `tracks` are what we send: `{ audio, video }`, each a track or null. `yields`: whether our offer
   * gives way when two cross in the running call. `on` has: send(message) without a name,
   * picture(stream), up(), trouble(), closed(), failed(wasUp, isImpostor).
   */
  constructor({ iceServers, tracks, yields }, on) {
    this.#on = on;
    this.#yields = yields;
    this.#tracks = { ...tracks };
    this.#stream = new MediaStream(Object.values(tracks).filter(Boolean));
    this.#connection = connectionWith(iceServers);
    this.#connection.ontrack = ({ streams, track }) => {
      if (streams.length === 0) this.#loose.addTrack(track);
      on.picture(streams[0] ?? this.#loose);
    };
    this.#connection.onicecandidate = ({ candidate }) => {
      if (candidate?.candidate) on.send({ type: "candidate", candidate });
    };
    this.#connection.onconnectionstatechange = () => this.#stateChanged();
    this.#connection.onnegotiationneeded = () => {
      if (this.#established) this.#negotiate();
    };
  }

  /** Offers; the answer comes by `take`. */
  offer() {
    this.#offered = true;
    for (const kind of KINDS) this.#send(kind);
    return this.#negotiate();
  }

  /** Takes an offer (the first, or one in the running call), an answer or a candidate. */
  take(message) {
    return this.#next(async () => {
      if (message.type === "candidate") await this.#takeCandidate(message.candidate);
      if (message.type === "offer") await this.#takeOffer(message.offer);
      if (message.type === "answer") await this.#takeAnswer(message.answer);
    });
  }

  /** Whether this offer is about this call, and not a new one from somebody who lost it. */
  knows(offer) {
    const theirs = fingerprints(this.#connection.remoteDescription?.sdp);
    return !theirs || theirs === fingerprints(offer?.sdp);
  }

  /** Who the other side is, once both have agreed; null before. */
  get theirs() {
    return this.#established ? identity(this.#connection.remoteDescription) : null;
  }

  /** Sends this track from now on, or nothing of this kind. */
  setTrack(kind, track) {
    this.#tracks[kind] = track;
    return this.#next(() => this.#send(kind, track !== null));
  }

  setIceServers(iceServers) {
    try {
      this.#connection.setConfiguration({ iceServers });
    } catch (error) {
      console.warn(error.message); // Over, or no servers that this browser understands.
    }
  }

  /** The words that both sides see if nobody stands between them; a promise, of "" where there are none. */
  safetyWords() {
    const { currentLocalDescription: ours, currentRemoteDescription: theirs } = this.#connection;
    return safetyWords(ours?.sdp, theirs?.sdp);
  }

  close() {
    this.#over = true;
    for (const timer of [this.#restart, this.#giveUp, this.#unanswered]) clearTimeout(timer);
    this.#connection.onicecandidate = null;
    this.#connection.ontrack = null;
    this.#connection.onnegotiationneeded = null;
    this.#connection.onconnectionstatechange = null;
    this.#connection.close();
  }

  /** RTCStatsReport. */
  stats() {
    return this.#connection.getStats();
  }

  /** Gives our track of this kind to its transceiver; may `make` one where there is none. */
  async #send(kind, make = true) {
    const track = this.#tracks[kind] ?? null;
    const transceiver = this.#connection
      .getTransceivers()
      .find((one) => one.receiver.track.kind === kind && one.currentDirection !== "stopped");
    if (!transceiver) {
      const direction = track ? "sendrecv" : "recvonly";
      if (make) this.#connection.addTransceiver(track ?? kind, { direction, streams: [this.#stream] });
      return;
    }
    if (track && !transceiver.direction.startsWith("send")) {
      transceiver.direction = transceiver.direction === "recvonly" ? "sendrecv" : "sendonly";
      transceiver.sender.setStreams?.(this.#stream);
    }
    await transceiver.sender.replaceTrack(track);
  }

  #negotiate() {
    return this.#next(async () => {
      // Where one is under way, the browser asks again after it.
      if (this.#connection.signalingState !== "stable") return;
      await this.#connection.setLocalDescription();
      const offer = this.#connection.localDescription;
      this.#on.send({ type: "offer", offer: this.#established ? markLater(offer) : offer });
      if (this.#established) {
        clearTimeout(this.#unanswered);
        this.#unanswered = setTimeout(() => this.#next(() => this.#rollback()), ANSWERED_WITHIN);
      }
    });
  }

  async #takeOffer(offer) {
    const crossed = this.#connection.signalingState !== "stable";
    if (crossed && !this.#yields) return;
    await this.#connection.setRemoteDescription(offer);
    // Only where they have a place for it: who offers sound alone may want no picture.
    for (const kind of KINDS) await this.#send(kind, false);
    await this.#connection.setLocalDescription();
    this.#established = true;
    this.#on.send({ type: "answer", answer: this.#connection.localDescription });
    await this.#takeCandidates();
  }

  async #takeAnswer(answer) {
    if (this.#connection.signalingState !== "have-local-offer") return;
    clearTimeout(this.#unanswered);
    await this.#connection.setRemoteDescription(answer);
    this.#established = true;
    await this.#takeCandidates();
  }

  async #takeCandidates() {
    for (const candidate of this.#candidates.splice(0)) await this.#takeCandidate(candidate);
  }

  async #takeCandidate(candidate) {
    if (!candidate?.candidate) return; // The end of candidates, by null or by an empty one.
    if (!this.#connection.remoteDescription) {
      if (this.#candidates.length < MOST_CANDIDATES) this.#candidates.push(candidate);
      return;
    }
    // One that is of no use (a transport that this browser lacks) is no reason to end.
    await this.#connection.addIceCandidate(candidate).catch((error) => console.info(error.name));
  }

  async #rollback() {
    if (this.#connection.signalingState !== "have-local-offer") return;
    await this.#connection.setLocalDescription({ type: "rollback" });
  }

  #stateChanged() {
    const state = this.#connection.connectionState;
    if (state === "connected") {
      clearTimeout(this.#restart);
      clearTimeout(this.#giveUp);
      [this.#restart, this.#giveUp] = [0, 0];
      this.#wasUp = true;
      this.#listenForTheEnd();
      this.#on.up();
    } else if (state === "failed" && !this.#wasUp) {
      this.#fail();
    } else if (state === "disconnected" || state === "failed") {
      this.#giveUp ||= setTimeout(() => this.#fail(), GIVE_UP_AFTER);
      clearTimeout(this.#restart);
      const pause = state === "failed" ? 0 : RESTART_AFTER;
      if (this.#offered) this.#restart = setTimeout(() => this.#connection.restartIce(), pause);
      this.#on.trouble();
    }
  }

  /** They close the connection (DTLS close_notify): that needs no server. */
  #listenForTheEnd() {
    const transport = this.#connection.getReceivers().find((one) => one.transport)?.transport;
    if (!transport) return;
    transport.onstatechange = () => {
      if (transport.state === "closed" && !this.#over) this.#on.closed();
    };
  }

  #fail() {
    if (this.#over) return;
    // There is a path, and the certificate on it is not the one that was described.
    const ends = this.#connection.getTransceivers().map((one) => one.receiver.transport);
    const refused = ends.some((end) => end?.state === "failed" && ["connected", "completed"].includes(end.iceTransport.state));
    this.#on.failed(this.#wasUp, refused && !this.#wasUp);
  }

  /** One after the other: descriptions and candidates must not overtake each other. */
  #next(step) {
    this.#work = this.#work.then(async () => {
      if (this.#over) return;
      try {
        await step();
      } catch (error) {
        if (this.#over) return;
        console.warn(error.name, error.message);
        // A running call goes on as it was.
        if (this.#established) await this.#rollback().catch(() => {});
        else this.#fail();
      }
    });
    return this.#work;
  }
}
