// A login on a signaling server that outlives its connection. Knows messages only as JSON
// objects with a type; what they mean for a call it does not know.

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 5000;
const TAKEN_FOR = 90_000;

export class Signaling {
  #url;
  #name;
  #on;
  #socket = null;
  #queue = [];
  #online = false;
  #pause = FIRST_PAUSE;
  #closed = false;
  /** Since when the name is taken, after we had it: the server may still hold our dead connection. */
  #takenSince = null;
  #wasIn = false;

  /** `on` has: loggedIn(iceServers), refused(), message(object), offline(). */
  constructor(url, name, on) {
    this.#url = url;
    this.#name = name;
    this.#on = on;
    this.#connect();
  }

  /** Sends at once, or after the next login when the server is away. */
  send(message) {
    const text = JSON.stringify(message);
    if (this.#online) this.#socket.send(text);
    else if (this.#queue.length < 256) this.#queue.push(text);
  }

  close() {
    this.#closed = true;
    this.#socket?.close();
  }

  #connect() {
    try {
      this.#socket = new WebSocket(this.#url);
    } catch {
      this.#closed = true;
      this.#on.refused(`${this.#url} is no address of a server`);
      return;
    }
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onopen = () =>
      this.#socket.send(JSON.stringify({ type: "login", name: this.#name }));
    this.#socket.onmessage = ({ data }) => this.#receive(data);
    this.#socket.onclose = () => this.#lost();
  }

  #receive(data) {
    let message;
    try {
      message = JSON.parse(typeof data === "string" ? data : new TextDecoder().decode(data));
    } catch {
      return; // Some servers greet in plain text.
    }
    if (message?.type !== "login") {
      if (message?.type) this.#on.message(message);
    } else if (message.success) {
      this.#online = true;
      this.#wasIn = true;
      this.#takenSince = null;
      this.#pause = FIRST_PAUSE;
      this.#on.loggedIn(message.iceServers ?? []);
      for (const text of this.#queue.splice(0)) this.#socket.send(text);
    } else if (message.success === false) {
      this.#takenSince ??= Date.now();
      if (this.#wasIn && Date.now() - this.#takenSince < TAKEN_FOR) {
        this.#socket.close(); // And again after a pause.
        return;
      }
      this.close();
      this.#on.refused(`the name ${this.#name} is taken; choose another`);
    }
  }

  #lost() {
    this.#online = false;
    if (this.#closed) return;
    this.#on.offline();
    setTimeout(() => this.#closed || this.#connect(), this.#pause);
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE);
  }
}
