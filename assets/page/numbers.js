// The line of numbers below the pictures, and the table behind it. Knows readings, no connection.

import { find, make, write } from "./dom.js";
import { bitrate, percent } from "./words.js";

const UNKNOWN = "–";

const size = (one) => (one?.width ? `${one.width}×${one.height}` : UNKNOWN);
const rate = (one) => (one?.fps === undefined ? UNKNOWN : `${Math.round(one.fps)} fps`);
const millis = (seconds) => (seconds === undefined ? UNKNOWN : `${Math.round(seconds * 1000)} ms`);

/** What matters most, in one line. */
export function summary({ received: { video, audio }, rtt }) {
  const parts = video?.width ? [size(video), rate(video)] : ["no picture"];
  const rates = [video?.bitrate, audio?.bitrate].filter((one) => one !== undefined);
  const bits = rates.length > 0 ? rates.reduce((sum, one) => sum + one) : undefined;
  parts.push(bitrate(bits), `${millis(rtt)} RTT`, `${percent(video?.loss ?? audio?.loss)} loss`);
  return parts.join(" · ");
}

/** As in peer's window; how long what came waits is of no meaning for what is sent. */
const ROWS = [
  ["Picture", (one) => size(one.video)],
  ["Frame rate", (one) => rate(one.video)],
  ["Picture bitrate", (one) => bitrate(one.video?.bitrate)],
  ["Sound bitrate", (one) => bitrate(one.audio?.bitrate)],
  ["Picture loss", (one) => percent(one.video?.loss)],
  ["Sound loss", (one) => percent(one.audio?.loss)],
  ["Buffer", (one, isSent) => (isSent ? "" : millis(one.audio?.buffer ?? one.video?.buffer))],
  ["Codecs", (one) => [one.video?.codec, one.audio?.codec].filter(Boolean).join(", ") || UNKNOWN],
];

export function showReadings(readings) {
  write("quality", summary(readings));
  if (!find("numbers").open) return;
  const rows = ROWS.map(([title, of]) => row(title, of(readings.received, false), of(readings.sent, true)));
  rows.push(row("Round trip", millis(readings.rtt), ""));
  const path = { direct: "direct", relayed: "through a relay" }[readings.path] ?? UNKNOWN;
  rows.push(row("Path", path, readings.protocol?.toUpperCase() ?? ""));
  find("readings").replaceChildren(...rows);
}

export function forgetReadings() {
  write("quality", "No numbers yet");
  find("readings").replaceChildren();
}

function row(title, ...cells) {
  const tr = make("tr");
  const th = make("th", title);
  th.scope = "row";
  tr.append(th, ...cells.map((cell) => make("td", cell)));
  return tr;
}
