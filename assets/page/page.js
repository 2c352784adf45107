// The page: buttons and words around one login and at most one call.

import { Call, comesFirst } from "./call.js";
import { Signaling } from "./signaling.js";

const RING_TIMEOUT = 60_000;
const VIDEO = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };

const find = (id) => document.getElementById(id);
const say = (text) => { find("status").textContent = text; };
const show = (id, shown) => { find(id).hidden = !shown; };

let signaling = null;
let me = "";
let iceServers = [];
let media = null;
/** Our side of the only call: its other name, and where it stands. */
let other = null;
let call = null;
let state = "idle"; // idle, calling, ringing, in-call
let connected = false;
/** What came for a call that still rings. */
let waiting = [];
let timer = 0;

find("server").value = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`;
find("login-form").onsubmit = (event) => {
  event.preventDefault();
  logIn(find("server").value, find("name").value.trim());
};
find("call-form").onsubmit = (event) => {
  event.preventDefault();
  callSomebody(find("callee").value.trim());
};
find("answer").onclick = () => answer();
find("reject").onclick = () => stopRinging("rejected", "you rejected the call");
find("hangup").onclick = () => call?.end("you hung up", "hangup");
find("mute").onclick = () => mute();
addEventListener("pagehide", () => call?.end("the page was closed", "hangup"));
setInterval(showQuality, 1000);

async function logIn(url, name) {
  if (!name) return;
  say("asking for camera and microphone");
  media ??= await openMedia();
  find("local").srcObject = media;
  me = name;
  say("logging in");
  signaling?.close();
  signaling = new Signaling(url, name, {
    loggedIn(servers) {
      iceServers = servers;
      show("login-form", false);
      update();
    },
    refused(reason) {
      signaling = null;
      show("login-form", true);
      show("call-form", false);
      say(reason);
    },
    offline() {
      say("the server is away; trying again");
    },
    message: receive,
  });
}

/** Camera and microphone, or what there is of them; without any, we only watch. */
async function openMedia() {
  for (const wanted of [{ audio: true, video: VIDEO }, { video: VIDEO }, { audio: true }]) {
    try {
      return await navigator.mediaDevices.getUserMedia(wanted);
    } catch (error) {
      console.info(String(error));
    }
  }
  return null;
}

function callSomebody(name) {
  if (state !== "idle" || !name || name === me) return;
  other = name;
  state = "calling";
  call = newCall();
  call.offer();
  update();
}

function newCall() {
  const mine = new Call(iceServers, media, {
    send(message) {
      signaling?.send(other ? { ...message, name: other } : message);
    },
    picture(stream) {
      find("remote").srcObject = stream;
    },
    connected() {
      connected = true;
      update();
    },
    ended(reason) {
      // One that lost a glare ends while its successor runs.
      if (call !== mine) return;
      over(reason);
    },
  });
  return mine;
}

function receive(message) {
  const { type, name = null } = message;
  const ours = state !== "idle" && (name === null || name === other);
  if (type === "offer") return onOffer(message, name);
  if (type === "error") {
    if (state === "calling" && ours && message.code === "unknown-user") {
      call.end(`${other} is not online`);
    }
    return undefined;
  }
  if (!ours) return undefined;
  if (type === "leave") return onLeave(message.reason);
  if (state === "ringing") {
    if (waiting.length < 256) waiting.push(message);
    return undefined;
  }
  if (type === "answer") {
    state = "in-call";
    update();
  }
  if (type === "answer" || type === "candidate") return call.take(message);
  return undefined;
}

function onOffer(message, name) {
  if (state === "in-call" && (name === null || name === other)) return call.take(message);
  if (state === "calling" && name === other) {
    if (comesFirst(me, other)) return undefined; // Theirs gives way.
    const lost = call;
    call = newCall();
    lost.end("both called at once");
    return join(message);
  }
  if (state !== "idle") {
    if (name && name !== other) signaling.send({ type: "leave", name, reason: "busy" });
    return undefined;
  }
  other = name;
  state = "ringing";
  waiting = [message];
  timer = setTimeout(() => stopRinging("timeout", `${name ?? "somebody"} called`), RING_TIMEOUT);
  return update();
}

function answer() {
  if (state !== "ringing") return;
  clearTimeout(timer);
  call = newCall();
  const [offer, ...rest] = waiting.splice(0);
  join(offer);
  for (const message of rest) call.take(message);
}

function join(offer) {
  state = "in-call";
  call.take(offer);
  update();
}

function stopRinging(leaveReason, text) {
  if (state !== "ringing") return;
  clearTimeout(timer);
  if (leaveReason && other) signaling?.send({ type: "leave", name: other, reason: leaveReason });
  over(text);
}

function onLeave(reason) {
  const who = other ?? "the other side";
  const words = { rejected: `${who} rejected the call`, busy: `${who} is busy`, timeout: `${who} did not answer` };
  const text = words[reason] ?? `${who} hung up`;
  if (state === "ringing") return stopRinging(null, text);
  return call.end(text);
}

function over(text) {
  call = null;
  other = null;
  state = "idle";
  connected = false;
  waiting = [];
  find("remote").srcObject = null;
  find("quality").textContent = "";
  update();
  say(text);
}

function update() {
  show("call-form", state === "idle");
  show("ringing", state === "ringing");
  show("running", state === "calling" || state === "in-call");
  find("caller").textContent = other ?? "Somebody";
  const words = {
    idle: `online as ${me}`,
    calling: `calling ${other}`,
    ringing: "ringing",
    "in-call": `${connected ? "in a call" : "connecting"} with ${other ?? "somebody"}`,
  };
  say(words[state]);
}

function mute() {
  const tracks = media?.getAudioTracks() ?? [];
  const muted = tracks.some((track) => track.enabled);
  for (const track of tracks) track.enabled = !muted;
  find("mute").setAttribute("aria-pressed", String(muted));
  find("mute").textContent = muted ? "Unmute" : "Mute";
}

let before = { bytes: 0, at: 0 };

async function showQuality() {
  if (state !== "in-call" || !call) return;
  const entries = [...(await call.stats()).values()];
  const video = entries.find((entry) => entry.type === "inbound-rtp" && entry.kind === "video");
  const pair = entries.find((entry) => entry.type === "candidate-pair" && entry.nominated);
  if (!video?.frameWidth) return;
  const kilobits = ((video.bytesReceived - before.bytes) * 8) / Math.max(video.timestamp - before.at, 1);
  before = { bytes: video.bytesReceived, at: video.timestamp };
  const parts = [
    `${video.frameWidth}x${video.frameHeight}`,
    `${Math.round(video.framesPerSecond ?? 0)} fps`,
    `${Math.max(0, Math.round(kilobits))} kbit/s`,
  ];
  if (pair?.currentRoundTripTime !== undefined) {
    parts.push(`${Math.round(pair.currentRoundTripTime * 1000)} ms`);
  }
  find("quality").textContent = parts.join("  ");
}
