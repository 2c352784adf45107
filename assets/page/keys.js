// Keys that work without a focus: only where nobody types, and where no button wants the key itself.

const TYPED_INTO = "input, select, textarea, [contenteditable]";
const PRESSED = "button, a, summary, [role=button]";

/** `act` gets a key (one letter in lower case, Enter or Escape) and says whether it used it. */
export function listen(act) {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || event.isComposing) return;
    const at = event.target instanceof Element ? event.target : document.body;
    if (at.closest(TYPED_INTO) || at.closest("dialog")) return;
    if (event.key === "Enter" && at.closest(PRESSED)) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (act(key)) event.preventDefault();
  });
}
