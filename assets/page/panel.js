// The dialog for camera, microphone and ring: choices, a preview, and what is wrong with them.

import { find, make, memory, write } from "./dom.js";
import { deviceProblem, deviceProblems } from "./words.js";

const CHOICES = { video: "camera-choice", audio: "microphone-choice" };

export class Panel {
  #devices;
  #ring;

  /** `closed` is called when nobody looks at the preview any more. */
  constructor(devices, ring, closed) {
    this.#devices = devices;
    this.#ring = ring;
    for (const [kind, id] of Object.entries(CHOICES)) {
      find(id).onchange = async ({ target }) => this.#complain(kind, await devices.choose(kind, target.value));
    }
    find("panel").onclose = () => {
      find("preview").srcObject = null;
      closed();
    };
    this.#remember("ring-tone", (on) => { ring.tone = on; });
    this.#remember("shortcuts", () => {});
    find("notify").onchange = () => this.#askToNotify();
    ring.notify = memory.get("notify") === "true" && globalThis.Notification?.permission === "granted";
    find("notify").checked = ring.notify;
    find("notify").disabled = !("Notification" in window) || !isSecureContext;
  }

  get isOpen() {
    return find("panel").open;
  }

  async open() {
    write("panel-problem", "");
    find("panel").showModal();
    await this.update();
    const problems = await this.#devices.open();
    write("panel-problem", deviceProblems(problems));
    await this.update();
  }

  close() {
    if (this.isOpen) find("panel").close();
  }

  /** Fills in what there is; devices may come and go while it is open. */
  async update() {
    if (!this.isOpen) return;
    const { stream, cameraOff, tracks } = this.#devices;
    const seen = tracks.video && !cameraOff;
    const shown = seen ? stream : null;
    if (find("preview").srcObject !== shown) find("preview").srcObject = shown;
    find("preview").hidden = !seen;
    write("preview-text", seen ? "" : cameraOff ? "Your camera is off" : "No picture of you");
    for (const [kind, id] of Object.entries(CHOICES)) this.#fill(find(id), await this.#devices.list(kind), kind);
  }

  #fill(select, list, kind) {
    const noun = kind === "video" ? "camera" : "microphone";
    const options = list.map(({ id, label, inUse }, i) => {
      const option = make("option", label || `${noun[0].toUpperCase()}${noun.slice(1)} ${i + 1}`);
      [option.value, option.selected] = [id, inUse];
      return option;
    });
    select.disabled = options.length === 0;
    if (options.length === 0) options.push(make("option", `No ${noun} to choose`));
    const before = [...select.options].map((option) => [option.value, option.text].join()).join("\n");
    if (before !== options.map((option) => [option.value, option.text].join()).join("\n")) {
      select.replaceChildren(...options);
    }
    const used = list.find((device) => device.inUse);
    if (used && select.value !== used.id) select.value = used.id;
  }

  #complain(kind, problem) {
    write("panel-problem", problem ? deviceProblem(kind, problem) : "");
    this.update();
  }

  #remember(id, apply) {
    const box = find(id);
    box.checked = memory.get(id) !== "false";
    apply(box.checked);
    box.onchange = () => {
      memory.set(id, String(box.checked));
      apply(box.checked);
    };
  }

  async #askToNotify() {
    const box = find("notify");
    this.#ring.notify = box.checked && (await this.#ring.allowNotifications());
    if (box.checked && !this.#ring.notify) {
      write("panel-problem", "The browser does not let this page show notifications. Allow them beside the address.");
    }
    box.checked = this.#ring.notify;
    memory.set("notify", String(this.#ring.notify));
  }
}
