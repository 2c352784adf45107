// The box for what is wrong, and the one question that it may ask. Knows no call.

import { find, show, write } from "./dom.js";

const CHOICES = { "go-without": "go", "try-again": "retry", cancel: "cancel" };

export class Notice {
  #choose = null;

  constructor() {
    for (const [id, choice] of Object.entries(CHOICES)) find(id).onclick = () => this.#end(choice);
    find("dismiss").onclick = () => this.close();
  }

  tell(text) {
    this.#end("cancel");
    this.#show(text, false);
  }

  /** Asks whether to go on without; a promise of "go", "retry" or "cancel". */
  ask(text, goOn) {
    this.#end("cancel");
    write("go-without", goOn);
    this.#show(text, true);
    find("go-without").focus();
    return new Promise((resolve) => {
      this.#choose = resolve;
    });
  }

  /** Closed without a word, the answer is no. */
  close() {
    this.#end("cancel");
  }

  #show(text, asks) {
    write("notice-text", text);
    for (const id of Object.keys(CHOICES)) show(id, asks);
    show("dismiss", !asks);
    show("notice", true);
  }

  #end(choice) {
    show("notice", false);
    this.#choose?.(choice);
    this.#choose = null;
  }
}
