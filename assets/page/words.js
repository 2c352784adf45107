// What the page says, in one place: errors, ends of calls, numbers. Reads only the address of the page.

/**
 * Why a login failed. The tutorial's server gives no code: there only a taken name fails. `detail` is
 * the server's own message, if it had one.
 */
export function loginRefused(code, name, url, detail) {
  switch (code) {
    case "token-needed":
      return `The server asks for the token of ${named(name)}. Enter it below.`;
    case "wrong-token":
      return "That is not the token of this name. Check it and try again.";
    case "too-many-tries":
      return "Too many tries. Wait a minute, then try again.";
    case "bad-name":
      return `The server does not accept this name: ${detail ?? "choose another"}.`;
    case "bad-address":
      return `${url} is not the address of a server. It looks like wss://host:9090/ws.`;
    case "unreachable":
      return `The server does not answer. Check that it is running${hint(url)}. Then try again.`;
    default:
      return `The name ${named(name)} is taken. Choose another. If it was yours a moment ago, try again in a minute.`;
  }
}

/** A browser does not tell a page why; of another server than the page's there are more reasons. */
function hint(url) {
  const { protocol, host } = new URL(url, location.href);
  if (host === location.host) return "";
  const lets = " and lets pages of this address in (peer serve --allow-origin)";
  if (protocol !== "wss:") return lets;
  return `${lets}. If it has a certificate of its own, open https://${host}/ once and accept it`;
}

const MOST_LETTERS = 24;

/** A name as far as it has room. */
export function shortName(name) {
  const letters = [...name];
  return letters.length > MOST_LETTERS ? `${letters.slice(0, MOST_LETTERS - 1).join("")}…` : name;
}

/** A name in a sentence, where it could be taken for one of its words. */
export const named = (name) => `'${shortName(name)}'`;

const OUTCOMES = {
  busy: "Busy",
  timeout: "No answer",
  gone: "Left",
  failed: "No connection",
  media: "Camera or sound failed",
  impostor: "Not verified",
};

/** What a call that never came up came to, for the history; by the reason in their `leave`. */
export function outcomeOf(reason, stage) {
  return OUTCOMES[reason] ?? (stage === "calling" ? "Rejected" : "No connection");
}

/** One side has seen another certificate than the one that it was told of. */
export function impostor(who) {
  return `The other side is not who the server says it is: somebody may stand between you and ${named(who)}`;
}

/** Why the other side left, by the reason in its `leave`. */
export function theyLeft(who, stage, reason) {
  if (stage === "calling") {
    if (reason === "busy") return `${named(who)} is in another call`;
    if (reason === "timeout") return `${named(who)} did not answer`;
    if (reason === "gone") return `${named(who)} is gone`;
    if (reason === "media") return `The camera or sound of ${named(who)} failed`;
    if (reason === "failed") return `The connection to ${named(who)} failed`;
    if (reason === "impostor") return impostor(who);
    return `${named(who)} rejected the call`;
  }
  if (stage === "ringing") return `You missed a call from ${named(who)}`;
  if (reason === "failed") return `The connection to ${named(who)} failed`;
  if (reason === "impostor") return impostor(who);
  if (reason === "media") return `The camera or sound of ${named(who)} failed`;
  return `${named(who)} hung up`;
}

export function noAnswer(who, isToldOfUnknown) {
  return isToldOfUnknown
    ? `${named(who)} did not answer`
    : `No answer from ${named(who)}. This server does not say whether somebody is online`;
}

export function notOnline(who) {
  return `${named(who)} is not online`;
}

/** ICE never found a path: nearly always a firewall that only a relay gets through. */
export function noPath(who, iceServers) {
  const relays = iceServers.some(({ urls }) => [urls].flat().some((url) => /^turns?:/.test(url)));
  return relays
    ? `No path to ${named(who)} was found, not even through the relay. A firewall may block it`
    : `No path to ${named(who)} was found. A firewall seems to be in between: the server needs a TURN relay`;
}

export function pathLost(who) {
  return `The connection to ${named(who)} was lost and did not come back`;
}

const DEVICE = { audio: "microphone", video: "camera" };

/** Why a camera or microphone cannot be had, and what to do; `name` is a DOMException's. */
export function deviceProblem(kind, name) {
  const device = DEVICE[kind] ?? "camera or microphone";
  switch (name) {
    case "insecure":
      return "This page was not opened securely, so the browser keeps camera and microphone from it. Open it over https, or on localhost.";
    case "NotAllowedError":
      return `The browser does not let this page use the ${device}. Allow it beside the address, then try again.`;
    case "NotFoundError":
      return `No ${device} was found. Plug one in, then try again.`;
    case "NotReadableError":
    case "AbortError":
      return `The ${device} is in use by another program, or does not start. Close the other program, then try again.`;
    case "OverconstrainedError":
      return `The chosen ${device} is gone. Choose another.`;
    default:
      return `The ${device} does not start (${name}).`;
  }
}

/** All problems in as few sentences as they need; `problems` maps audio and video to error names. */
export function deviceProblems({ audio, video }) {
  if (audio && audio === video) return deviceProblem("both", audio);
  return [video && deviceProblem("video", video), audio && deviceProblem("audio", audio)]
    .filter(Boolean)
    .join(" ");
}

/** What a call without these devices is like. */
export function withoutDevices({ audio, video }, who) {
  if (audio && video) return `You can still see and hear ${named(who)}, who will not see or hear you.`;
  if (video) return `${named(who)} will hear you but not see you.`;
  return `${named(who)} will see you but not hear you.`;
}

/** 83 is 1:23. */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [Math.floor(whole / 60) % 60, whole % 60].map((part) => String(part).padStart(2, "0"));
  const hours = Math.floor(whole / 3600);
  return hours > 0 ? `${hours}:${parts.join(":")}` : `${Number(parts[0])}:${parts[1]}`;
}

/** Bits a second with two digits that matter. */
export function bitrate(bits) {
  if (!Number.isFinite(bits)) return "–";
  if (bits < 999_500) return `${Math.round(bits / 1000)} kbit/s`;
  return `${(bits / 1e6).toFixed(bits < 9.95e6 ? 1 : 0)} Mbit/s`;
}

/** A part of one as percent: none, below a tenth, or one digit. */
export function percent(part) {
  if (!Number.isFinite(part)) return "–";
  if (part === 0) return "0 %";
  return part < 0.0005 ? "< 0.1 %" : `${(part * 100).toFixed(part < 0.0995 ? 1 : 0)} %`;
}
