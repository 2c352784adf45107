// Short words for the document. Knows no call.

export const find = (id) => document.getElementById(id);

export const show = (id, shown) => {
  find(id).hidden = !shown;
};

/** Only what is different, so that screen readers do not say it again. */
export function write(id, text) {
  const element = find(id);
  if (element.textContent !== text) element.textContent = text;
}

export function make(tag, text = "", className = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  if (className) element.className = className;
  return element;
}

/** One of the symbols in the page. */
export function symbol(name) {
  const SVG = "http://www.w3.org/2000/svg";
  const [svg, use] = ["svg", "use"].map((tag) => document.createElementNS(SVG, tag));
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** What this browser remembers of us, where it may; never a secret. */
export const memory = {
  get(key) {
    try {
      return localStorage.getItem(`peer.${key}`);
    } catch {
      return null;
    }
  },
  set(key, value) {
    try {
      localStorage.setItem(`peer.${key}`, value);
    } catch {
      // Then it is asked for again.
    }
  },
};
