// The page: ties the phone, the devices and the ring to buttons and words. Starts everything.

import { keepAwake, sleepAgain } from "./awake.js";
import { Devices } from "./devices.js";
import { find, memory, show, write } from "./dom.js";
import { History } from "./history.js";
import { listen } from "./keys.js";
import { linkTo, readLink } from "./link.js";
import { Notice } from "./notice.js";
import { forgetReadings, showReadings } from "./numbers.js";
import { Panel } from "./panel.js";
import { Phone } from "./phone.js";
import { Picture } from "./picture.js";
import { Ring } from "./ring.js";
import { showDuration, showHistory, showOwn, showPicture, showState } from "./screen.js";
import { read } from "./stats.js";
import { deviceProblem, deviceProblems, named, withoutDevices } from "./words.js";

const OUR_SERVER = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`;
const TALKING = ["connecting", "connected", "reconnecting"];

const ring = new Ring();
const history = new History(globalThis.sessionStorage);
const notice = new Notice();
const picture = new Picture(() => showPicture(phone.call, picture.isThere));
const devices = new Devices(memory, {
  changed: showDevices,
  track: (kind, track) => phone.setTrack(kind, track),
  lost: deviceLost,
});
const panel = new Panel(devices, ring, () => {
  if (!phone.call) devices.release();
});
const phone = new Phone(devices, {
  changed: update,
  said: say,
  refused,
  picture: (stream) => picture.show(stream),
  ended: callEnded,
  devicesMissing,
  nothingToSend: askWhetherToWatch,
});

let said = { text: "", tone: "plain" };
/** Whom a link calls once we are logged in. */
let toCall = null;
let view = "welcome";
let rungFor = "";
let readings = null;

function say(text, tone = "plain") {
  said = { text, tone };
}

function update() {
  if (phone.call && phone.call.stage !== "ringing") say("");
  const before = view;
  view = showState(phone, said);
  showOwn(devices, phone.call?.stage === "asking");
  ringAsItIs();
  showPicture(phone.call, picture.isThere);
  if (phone.server === "online" && before === "welcome") arrived();
  if (view !== before) focusFirst();
  if (view === "call") keepAwake();
}

function ringAsItIs() {
  const { stage = "", who = "" } = phone.call ?? {};
  const now = `${stage} ${who}`;
  if (now === rungFor) return;
  rungFor = now;
  ring.title = stage && stage !== "ringing" ? `${who} – peer` : "peer";
  if (stage === "ringing") ring.incoming(who);
  else if (stage === "calling") ring.outgoing();
  else ring.stop();
  if (stage !== "ringing") return;
  panel.close();
  // Who types a name goes on typing.
  const at = document.activeElement;
  if (at === document.body || (at === find("callee") && !at.value)) find("answer").focus();
}

/** Nobody who uses the keyboard shall have to look for where to go on. */
function focusFirst() {
  if (phone.call?.stage === "asking") notice.close();
  const at = document.activeElement;
  if (at && at !== document.body && at.checkVisibility()) return;
  const first = { welcome: "name", home: "callee", call: "mute" }[view];
  // On a phone the keyboard would cover half of the page.
  if (view !== "home" || !matchMedia("(pointer: coarse)").matches) find(first).focus();
  if (view === "call" && document.activeElement !== find(first)) find("hangup").focus();
}

// Logging in

find("server").value = OUR_SERVER;
find("login-form").onsubmit = (event) => {
  event.preventDefault();
  const name = find("name").value.trim();
  if (!name || phone.server === "arriving") return;
  ring.unlock();
  say("");
  phone.logIn(find("server").value.trim() || OUR_SERVER, name, find("token").value);
};
find("logout").onclick = () => {
  phone.logOut();
  history.clear();
  find("token").value = "";
  say("");
  update();
  followLink();
};

function refused(code, text) {
  say(text, "error");
  const needsToken = code === "token-needed" || code === "wrong-token";
  if (needsToken) show("token-row", true);
  update();
  find("name").setAttribute("aria-invalid", String(!needsToken && code !== "unreachable"));
  const field = find(needsToken ? "token" : "name");
  field.focus();
  field.select();
}

function arrived() {
  memory.set("name", phone.me);
  const isOurs = find("server").value === OUR_SERVER;
  show("share", isOurs);
  find("link").value = linkTo(phone.me, location);
  showHistory(history.calls, call);
  const name = toCall;
  toCall = null;
  if (name) call(name);
}

/** A link says whom to call; that a camera goes on stays the user's own decision. */
function followLink() {
  const link = readLink(location.hash);
  if (link.as && phone.server === "out") find("name").value = link.as;
  if (!link.call) return;
  find("callee").value = link.call;
  if (phone.server === "online") return find("call").focus();
  toCall = link.call;
  const name = named(link.call);
  write("invitation", `Call ${name}`);
  write("explanation", `Say who you are: ${named(link.call)} sees this name.`);
  write("login", `Call ${name}`);
  if (find("name").value) find("login").focus();
  return undefined;
}

find("name").value = memory.get("name") ?? "";
find("name").focus();
addEventListener("hashchange", followLink);
followLink();

// Calling

async function call(name) {
  ring.unlock();
  if (name === phone.me) {
    say("That is you. Enter somebody else's name", "error");
    return update();
  }
  if (phone.server === "online" && !phone.call) say("");
  return phone.callSomebody(name);
}

find("call-form").onsubmit = (event) => {
  event.preventDefault();
  if (phone.call) return;
  call(find("callee").value.trim());
};
find("answer").onclick = () => {
  ring.unlock();
  phone.answer();
};
find("reject").onclick = () => phone.reject();
find("hangup").onclick = () => phone.hangUp();
find("mute").onclick = () => devices.setMuted(!devices.muted);
find("camera").onclick = async () => {
  const problem = await devices.setCameraOff(!devices.cameraOff);
  if (problem) notice.tell(deviceProblem("video", problem));
};
for (const id of ["settings", "setup"]) {
  find(id).onclick = () => {
    ring.unlock();
    panel.open();
  };
}
find("copy").onclick = async () => {
  find("link").select();
  const copied = navigator.clipboard?.writeText(find("link").value).then(() => true, () => false);
  write("copy", (await copied) ? "Copied" : "Press Ctrl+C");
  setTimeout(() => write("copy", "Copy"), 2000);
};
find("link").onfocus = () => find("link").select();
addEventListener("pagehide", () => phone.leave());
addEventListener("beforeunload", (event) => {
  // Who reloads by mistake is asked first.
  if (TALKING.includes(phone.call?.stage)) event.preventDefault();
});

const KEYS = "Keys in a call: m mutes, v turns the camera off, d shows numbers, f fills the screen, h or q hangs up.";

/** The same keys as in peer's window and terminal, as far as a page has what they do. */
const inCall = {
  m: () => find("mute").click(),
  v: () => find("camera").click(),
  h: () => find("hangup").click(),
  q: () => find("hangup").click(),
  d: () => {
    find("numbers").open = !find("numbers").open;
  },
  f: () => (document.fullscreenElement ? document.exitFullscreen() : find("stage").requestFullscreen?.()),
  "?": () => notice.tell(KEYS),
};

listen((key) => {
  if (phone.call?.stage === "ringing") {
    if (key === "Enter") find("answer").click();
    else if (key === "Escape") phone.reject();
    else return false;
    return true;
  }
  const act = inCall[key];
  if (view !== "call" || !act || !find("shortcuts").checked) return false;
  act();
  return true;
});

function callEnded(ended) {
  const { who, incoming, at, connectedAt, stage, link } = ended;
  if (incoming || link) {
    const seconds = connectedAt ? (Date.now() - connectedAt) / 1000 : 0;
    const answered = TALKING.includes(stage);
    if (answered) find("callee").value = "";
    // Who gave up before it was answered here was missed, whatever they say.
    const outcome = incoming && !answered ? undefined : ended.outcome;
    const [connected, rejected] = [Boolean(connectedAt), Boolean(ended.rejected)];
    history.add({ who, incoming, at, seconds, answered, connected, rejected, outcome });
    showHistory(history.calls, call);
  }
  if (phone.call) return; // Somebody else called meanwhile, and was told that we are busy.
  notice.close();
  readings = null;
  forgetReadings();
  sleepAgain();
  if (!panel.isOpen) devices.release();
}

// Devices and numbers

function showDevices() {
  showOwn(devices, phone.call?.stage === "asking");
  panel.update();
}

function deviceLost(kind, problem) {
  const device = kind === "video" ? "camera" : "microphone";
  if (!problem) return notice.tell(`The ${device} was unplugged. Another one is in use now.`);
  const missing = { [kind]: problem };
  const effect = phone.call ? ` ${withoutDevices(missing, phone.call.who)}` : "";
  return notice.tell(`The ${device} is gone.${effect}`);
}

setInterval(async () => {
  showDuration(phone.call);
  const talk = phone.call;
  if (!TALKING.includes(talk?.stage)) return;
  const report = await phone.stats();
  if (!report || phone.call !== talk) return;
  const now = read(report, readings);
  readings = now;
  showReadings(now);
  picture.count(now.received.video?.frames ?? 0);
}, 1000);

function devicesMissing(problems, who) {
  if (!problems.audio && !problems.video) return;
  const { audio, video } = devices.tracks;
  const missing = { audio: !audio && problems.audio, video: !video && problems.video };
  notice.tell(`${deviceProblems(problems)} ${withoutDevices(missing, who)}`);
}

/** Better a call in which we only see and hear than none; but that is for the user to say. */
function askWhetherToWatch(problems, who) {
  const text = `${deviceProblems(problems)} ${withoutDevices({ audio: true, video: true }, who)}`;
  return notice.ask(text, phone.call?.incoming ? "Answer without camera" : "Call without camera");
}

if (!isSecureContext) notice.tell(deviceProblem("both", "insecure"));
update();
showDevices();
