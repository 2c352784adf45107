// A login on a signaling server that outlives its connection. Knows messages only as JSON
// objects with a type; what they mean for a call it does not know.

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 5000;
/** So long the server may hold a dead connection of ours, and call our name taken. */
const TAKEN_FOR = 90_000;
const ANSWERS_WITHIN = 10_000;
const MOST_QUEUED = 256;

export class Signaling {
  #url;
  #login;
  #on;
  #socket = null;
  #queue = [];
  #online = false;
  #pause = FIRST_PAUSE;
  #closed = false;
  #timer = 0;
  #refresh = 0;
  #takenSince = null;
  #wasIn = false;

  /**
   * `login` has a name, and a token where the server asks for one. `on` has: loggedIn(reply) at
   * every login, refreshed(reply) for new ICE servers in between, refused(code, message), offline(),
   * message(object).
   */
  constructor(url, login, on) {
    this.#url = url;
    this.#login = { type: "login", ...login };
    this.#on = on;
    addEventListener("online", this.#hurry);
    this.#connect();
  }

  /** Sends at once, or after the next login when the server is away. */
  send(message) {
    if (this.#online) this.#socket.send(JSON.stringify(message));
    else if (this.#queue.length < MOST_QUEUED) this.#queue.push(message);
  }

  /** Forgets what waits for the server and is meant for this name. */
  drop(name) {
    this.#queue = this.#queue.filter((message) => message.name !== name);
  }

  close() {
    this.#closed = true;
    this.#online = false;
    clearTimeout(this.#timer);
    clearTimeout(this.#refresh);
    removeEventListener("online", this.#hurry);
    this.#socket?.close();
  }

  #connect() {
    let socket;
    try {
      socket = new WebSocket(this.#url);
    } catch {
      this.#refuse("bad-address");
      return;
    }
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => socket.send(JSON.stringify(this.#login));
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = () => this.#lost(socket);
    this.#timer = setTimeout(() => this.#lost(socket), ANSWERS_WITHIN);
  }

  #receive(data) {
    let message;
    try {
      message = JSON.parse(typeof data === "string" ? data : new TextDecoder().decode(data));
    } catch {
      return; // Some servers greet in plain text.
    }
    if (this.#closed || typeof message?.type !== "string") return;
    if (message.type !== "login") this.#on.message(message);
    else if (message.success === true) this.#loggedIn(message);
    else if (message.success === false) this.#refused(message);
  }

  #loggedIn(reply) {
    this.#refreshLater(reply.iceServersTtl);
    // With this the server gives us the name back, should it still hold it for a lost connection.
    if (typeof reply.resume === "string") this.#login.resume = reply.resume;
    if (this.#online) {
      this.#on.refreshed(reply);
      return;
    }
    clearTimeout(this.#timer);
    this.#online = true;
    this.#wasIn = true;
    this.#takenSince = null;
    this.#pause = FIRST_PAUSE;
    this.#on.loggedIn(reply);
    for (const message of this.#queue.splice(0)) this.send(message);
  }

  /** Credentials of relays run out; the same login again brings new ones. */
  #refreshLater(seconds) {
    clearTimeout(this.#refresh);
    if (!(seconds > 0)) return;
    const pause = Math.min(Math.max(seconds * 500, 1000), 0x7fff_ffff);
    this.#refresh = setTimeout(() => {
      if (this.#online) this.#socket.send(JSON.stringify(this.#login));
    }, pause);
  }

  #refused({ code = "name-taken", message }) {
    if (this.#online) return; // Only the refresh failed; we are in.
    if (this.#wasIn && (code === "name-taken" || code === "too-many-tries")) {
      this.#takenSince ??= Date.now();
      const patient = code === "too-many-tries" || Date.now() - this.#takenSince < TAKEN_FOR;
      if (patient) {
        this.#socket.close(); // And again after a pause.
        return;
      }
    }
    this.#refuse(code, typeof message === "string" ? message : undefined);
  }

  #refuse(code, message) {
    this.close();
    this.#on.refused(code, message);
  }

  #lost(socket) {
    if (this.#closed || socket !== this.#socket) return;
    clearTimeout(this.#timer);
    clearTimeout(this.#refresh);
    this.#socket = null;
    this.#online = false;
    socket.close();
    if (!this.#wasIn) {
      this.#refuse("unreachable");
      return;
    }
    this.#on.offline();
    // A server that comes back is not met by everybody at once.
    this.#timer = setTimeout(() => this.#connect(), this.#pause * (0.5 + Math.random()));
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE);
  }

  /** The network is back: no need to wait for the end of the pause. */
  #hurry = () => {
    if (this.#closed || this.#socket) return;
    clearTimeout(this.#timer);
    this.#pause = FIRST_PAUSE;
    this.#connect();
  };
}
