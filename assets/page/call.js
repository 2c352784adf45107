// One call: the peer connection and the order of its messages. Knows no page and no socket.

/** Of two names whose offers crossed, the one whose UTF-8 bytes come first keeps its offer. */
export function comesFirst(one, other) {
  const [a, b] = [one, other].map((name) => new TextEncoder().encode(name));
  for (let i = 0; i < Math.min(a.length, b.length); i += 1) {
    if (a[i] !== b[i]) return a[i] < b[i];
  }
  return a.length < b.length;
}

export class Call {
  #connection;
  #send;
  #ended;
  #candidates = [];
  #work = Promise.resolve();
  #over = false;

  /**
   * `on` has: send(message), picture(stream), connected(), ended(reason). Messages go out
   * without a name; whoever sends them fills it in.
   */
  constructor(iceServers, stream, on) {
    this.#send = on.send;
    this.#ended = on.ended;
    this.#connection = new RTCPeerConnection({ iceServers });
    for (const track of stream?.getTracks() ?? []) this.#connection.addTrack(track, stream);
    for (const kind of ["audio", "video"]) {
      const sends = stream?.getTracks().some((track) => track.kind === kind);
      if (!sends) this.#connection.addTransceiver(kind, { direction: "recvonly" });
    }
    this.#connection.ontrack = ({ streams, track }) =>
      on.picture(streams[0] ?? new MediaStream([track]));
    this.#connection.onicecandidate = ({ candidate }) => {
      if (candidate?.candidate) this.#send({ type: "candidate", candidate });
    };
    this.#connection.onconnectionstatechange = () => {
      if (this.#connection.connectionState === "connected") on.connected();
      if (this.#connection.connectionState === "failed") this.end("the connection was lost", "hangup");
    };
  }

  /** Offers; the answer comes by `take`. */
  offer() {
    return this.#next(async () => {
      await this.#connection.setLocalDescription();
      this.#send({ type: "offer", offer: this.#connection.localDescription });
    });
  }

  /** Takes an offer (the first, or one in the running call), an answer or a candidate. */
  take(message) {
    return this.#next(async () => {
      if (message.type === "candidate") return this.#takeCandidate(message.candidate);
      await this.#connection.setRemoteDescription(message[message.type]);
      if (message.type === "offer") {
        await this.#connection.setLocalDescription();
        this.#send({ type: "answer", answer: this.#connection.localDescription });
      }
      for (const candidate of this.#candidates.splice(0)) await this.#takeCandidate(candidate);
    });
  }

  /** Ends the call; a reason for the other side makes it leave, too. */
  end(reason, leaveReason) {
    if (this.#over) return;
    this.#over = true;
    if (leaveReason) this.#send({ type: "leave", reason: leaveReason });
    this.#connection.onicecandidate = null;
    this.#connection.ontrack = null;
    this.#connection.close();
    this.#ended(reason);
  }

  /** RTCStatsReport. */
  stats() {
    return this.#connection.getStats();
  }

  async #takeCandidate(candidate) {
    if (!candidate?.candidate) return;
    if (!this.#connection.remoteDescription) {
      this.#candidates.push(candidate);
      return;
    }
    // One that is of no use (a transport that this browser lacks) is no reason to end.
    await this.#connection.addIceCandidate(candidate).catch((error) => console.info(String(error)));
  }

  /** One after the other: descriptions and candidates must not overtake each other. */
  #next(step) {
    this.#work = this.#work.then(async () => {
      if (this.#over) return;
      try {
        await step();
      } catch (error) {
        if (!this.#over) this.end(String(error), "hangup");
      }
    });
    return this.#work;
  }
}
