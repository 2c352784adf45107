// The numbers that matter, out of an RTCStatsReport. Pure.

/**
 * Readings of now, with rates since `before` (what this returned last, or null):
 * `{ at, received: { video, audio }, sent: { video, audio }, rtt, path, protocol }`, where a stream is
 * `{ codec, width, height, fps, frames, bitrate, loss, buffer }` and what is not known is undefined.
 */
export function read(report, before) {
  const entries = [...report.values()];
  const stream = (type, kind) =>
    entries.filter((entry) => entry.type === type && entry.kind === kind).sort(busiest)[0];
  const received = {};
  const sent = {};
  for (const kind of ["video", "audio"]) {
    received[kind] = inbound(stream("inbound-rtp", kind), report, before?.received[kind]);
    const remote = stream("remote-inbound-rtp", kind);
    sent[kind] = outbound(stream("outbound-rtp", kind), remote, report, before?.sent[kind]);
  }
  return { received, sent, ...route(entries, report) };
}

const bytesOf = (entry) => entry.bytesReceived ?? entry.bytesSent ?? 0;
const busiest = (a, b) => bytesOf(b) - bytesOf(a);

function inbound(entry, report, before) {
  if (!entry) return undefined;
  const seen = { packets: entry.packetsReceived ?? 0, lost: entry.packetsLost ?? 0 };
  const packets = seen.packets - (before?.seen.packets ?? 0);
  const lost = Math.max(0, seen.lost - (before?.seen.lost ?? 0));
  return {
    ...common(entry, report, before),
    frames: entry.framesDecoded ?? 0,
    loss: packets + lost > 0 ? lost / (packets + lost) : undefined,
    buffer: waited(entry, before?.waits),
    waits: waitsOf(entry),
    seen,
  };
}

const waitsOf = (entry) => ({ all: entry.jitterBufferDelay ?? 0, count: entry.jitterBufferEmittedCount ?? 0 });

/** How long a frame or a sample waited in the jitter buffer since then, in seconds. */
function waited(entry, before = { all: 0, count: 0 }) {
  const { all, count } = waitsOf(entry);
  return count > before.count ? (all - before.all) / (count - before.count) : undefined;
}

function outbound(entry, remote, report, before) {
  if (!entry) return undefined;
  return {
    ...common(entry, report, before),
    frames: entry.framesEncoded ?? 0,
    loss: remote?.fractionLost,
  };
}

function common(entry, report, before) {
  const bytes = bytesOf(entry);
  const seconds = (entry.timestamp - (before?.at ?? entry.timestamp)) / 1000;
  return {
    at: entry.timestamp,
    bytes,
    bitrate: seconds > 0 ? Math.max(0, ((bytes - before.bytes) * 8) / seconds) : undefined,
    codec: report.get(entry.codecId)?.mimeType?.split("/")[1],
    width: entry.frameWidth,
    height: entry.frameHeight,
    fps: entry.framesPerSecond,
  };
}

/** Which way the packets go, and how long it takes there and back, in seconds. */
function route(entries, report) {
  const transport = entries.find((entry) => entry.type === "transport");
  const pair =
    report.get(transport?.selectedCandidatePairId) ??
    entries.find((entry) => entry.type === "candidate-pair" && entry.nominated);
  if (!pair) return {};
  const local = report.get(pair.localCandidateId);
  const remote = report.get(pair.remoteCandidateId);
  const relayed = [local, remote].some((one) => one?.candidateType === "relay");
  return {
    rtt: pair.currentRoundTripTime,
    path: relayed ? "relayed" : "direct",
    protocol: local?.relayProtocol ?? local?.protocol,
  };
}
