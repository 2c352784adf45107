// The link that calls: `/#call=alice`, and perhaps `&as=bob`. Pure.

export const LONGEST_NAME = 64;

/** Whom to call and under which name; null for what the link does not say. */
export function readLink(hash) {
  const words = new URLSearchParams(hash.replace(/^#/, ""));
  return { call: name(words.get("call")), as: name(words.get("as")) };
}

function name(text) {
  const trimmed = (text ?? "").trim();
  return trimmed && trimmed.length <= LONGEST_NAME ? trimmed : null;
}

/** The link by which others call `me` at this page. */
export function linkTo(me, { origin, pathname }) {
  return `${origin}${pathname}#call=${encodeURIComponent(me)}`;
}
