// What is shown, from what is the case: views, words, pictures, buttons. Decides nothing about calls.

import { find, make, show, symbol, write } from "./dom.js";
import { timeOf } from "./history.js";
import { duration, named } from "./words.js";

/** welcome (logged out), home (online), or call. */
export function viewOf({ call, server }) {
  if (call && call.stage !== "ringing") return "call";
  return server === "online" || server === "away" ? "home" : "welcome";
}

/** The words for where things stand; `said` is what happened last. */
export function statusOf({ me, server, call }, said) {
  if (call) {
    const away = server === "online" ? "" : ". The server is away; the call goes on";
    switch (call.stage) {
      case "asking":
        // What is wrong stands below, with the question.
        if (call.deciding) return { text: `Not calling ${named(call.who)} yet`, tone: "plain" };
        return { text: "Asking for camera and microphone", tone: "plain" };
      case "calling":
        return { text: `Calling ${named(call.who)}`, tone: "plain" };
      case "ringing":
        return { text: `${named(call.who)} is calling`, tone: "good" };
      case "connecting":
        return { text: `Connecting to ${named(call.who)}`, tone: "plain" };
      case "reconnecting":
        return { text: `The connection to ${named(call.who)} is lost; trying again`, tone: "warning" };
      default:
        return { text: `In a call with ${named(call.who)}${away}`, tone: away ? "warning" : "good" };
    }
  }
  if (server === "away") return { text: "The server is away; trying again", tone: "warning" };
  if (said.text) return said;
  if (server === "online") return { text: `Online as ${named(me)}`, tone: "good" };
  return { text: server === "arriving" ? "Logging in" : "", tone: "plain" };
}

export function showState(phone, said) {
  const { call, server, me } = phone;
  const view = viewOf(phone);
  document.body.dataset.view = view;
  show("welcome", view === "welcome");
  show("home", view === "home");
  show("running", view === "call");
  show("logout", view === "home");
  show("ringing", call?.stage === "ringing");
  const { text, tone } = statusOf(phone, said);
  write("status", text);
  find("status").dataset.tone = tone;
  write("logout", `Log out ${named(me)}`);
  find("login").disabled = server === "arriving";
  find("call").disabled = server !== "online" || Boolean(call);
  find("answer").disabled = Boolean(call?.answering);
  write("caller", call ? named(call.who) : "Somebody");
  for (const id of ["avatar", "ringing-avatar"]) write(id, [...(call?.who ?? "")][0] ?? "");
  show("safety", Boolean(call?.safetyWords));
  write("safety-words", call?.safetyWords ?? "");
  showDuration(call);
  return view;
}

export function showDuration(call) {
  show("duration", Boolean(call?.connectedAt));
  if (call?.connectedAt) write("duration", duration((Date.now() - call.connectedAt) / 1000));
}

const WAITING_FOR = {
  asking: "Your browser asks for camera and microphone",
  calling: "Waiting for an answer",
  connecting: "Connecting",
};

/** The other side's picture, or in its place who it is. */
export function showPicture(call, hasPicture) {
  show("nobody", !hasPicture);
  const waiting = call?.deciding ? "No camera and no microphone" : WAITING_FOR[call?.stage];
  write("nobody-text", waiting ?? `No picture from ${call ? named(call.who) : "there"}`);
  find("avatar").classList.toggle("pulse", call?.stage === "calling");
}

/** Our own picture, and the buttons for what we send; while the devices are `asked` for, both may come. */
export function showOwn({ stream, tracks, muted, cameraOff }, asked) {
  const local = find("local");
  local.hidden = !tracks.video || cameraOff;
  // An empty stream would keep the page loading.
  const shown = local.hidden ? null : stream;
  if (local.srcObject !== shown) local.srcObject = shown;
  const hasMic = asked || Boolean(tracks.audio);
  const hasCamera = asked || Boolean(tracks.video) || cameraOff;
  toggle("mute", "mic", muted, hasMic, muted ? "Muted" : "Mute", "No mic");
  toggle("camera", "camera", cameraOff, hasCamera, cameraOff ? "Camera is off" : "Camera off", "No camera");
  show("own-off", cameraOff);
}

function toggle(id, icon, pressed, there, label, missing) {
  const button = find(id);
  button.disabled = !there;
  button.setAttribute("aria-pressed", String(pressed));
  const shown = pressed || !there ? `${icon}-off` : icon;
  button.querySelector("use").setAttribute("href", `#i-${shown}`);
  const text = button.querySelector("span");
  const words = there ? label : missing;
  if (text.textContent !== words) text.textContent = words;
}

/** The list of calls; `again` is called with a name. */
export function showHistory(calls, again) {
  show("no-calls", calls.length === 0);
  find("history").replaceChildren(...calls.map((call) => entry(call, again)));
}

function entry(call, again) {
  const item = make("li");
  const who = make("div", "", "who");
  const time = make("time", timeOf(call.at, Date.now()));
  time.dateTime = new Date(call.at).toISOString();
  const line = make("span", `${outcome(call)}, `);
  line.append(time, call.connected ? `, ${duration(call.seconds)}` : "");
  who.append(make("b", call.who), line);
  const button = make("button", "Call");
  button.type = "button";
  button.setAttribute("aria-label", `Call ${named(call.who)}`);
  button.onclick = () => again(call.who);
  const isMissed = call.incoming && !call.answered && !call.rejected;
  if (isMissed) item.className = "missed";
  item.append(symbol(isMissed ? "missed" : call.incoming ? "in" : "out"), who, button);
  return item;
}

function outcome({ incoming, answered, connected, rejected, outcome: came }) {
  if (connected) return incoming ? "Called you" : "You called";
  if (answered) return came ?? "No connection";
  if (incoming) return rejected ? "Rejected" : "Missed";
  return came ?? "No answer";
}
