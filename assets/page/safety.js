// The words that both sides can compare, from the fingerprints of the two; as `call/words.rs` has them.

const PURPOSE = "peer safety words of two fingerprints 1";
const WORDS = 7;
const WORD_BITS = 11n;

/** The fingerprints of a description, each once and sorted: the hash small, the value in capitals. */
export function fingerprints(sdp) {
  const found = new Set();
  for (const line of (sdp ?? "").split(/[\r\n]/)) {
    const [, value] = /^a=fingerprint:(.*)$/i.exec(line.trim()) ?? [];
    if (value === undefined) continue;
    const [hash = "", ...rest] = value.split(/[ \t]+/).filter(Boolean);
    found.add(`${hash.toLowerCase()} ${rest.join(" ").toUpperCase()}`);
  }
  return [...found].sort();
}

/** Each part behind its length, so that none runs into the next. */
function framed(parts) {
  const encoder = new TextEncoder();
  const all = [];
  for (const part of parts) {
    const bytes = encoder.encode(part);
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, bytes.length);
    all.push(...length, ...bytes);
  }
  return new Uint8Array(all);
}

let list = null;

async function wordList() {
  list ??= (await (await fetch("words.txt")).text()).split("\n");
  return list;
}

/**
 * Seven words, or "" where they cannot be had: a browser hashes only for a page that was opened
 * securely, and one that was not could say anything.
 */
export async function safetyWords(one, other) {
  const sides = [one, other].map((sdp) => fingerprints(sdp).join(",")).sort();
  if (!globalThis.crypto?.subtle || sides.includes("")) return "";
  const hash = await crypto.subtle.digest("SHA-256", framed([PURPOSE, ...sides]));
  let bits = 0n;
  for (const byte of new Uint8Array(hash)) bits = (bits << 8n) | BigInt(byte);
  const words = await wordList();
  const word = (at) => words[Number((bits >> (256n - WORD_BITS * BigInt(at + 1))) & 2047n)];
  return Array.from({ length: WORDS }, (_, at) => word(at)).join(" ");
}
