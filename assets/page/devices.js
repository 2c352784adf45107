// Camera and microphone: asked for when a call needs them, given back after it. Knows no call.

const KINDS = ["audio", "video"];
const LISTED_AS = { audio: "audioinput", video: "videoinput" };
const VIDEO = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
const AUDIO = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
/** Black pictures go out for so long before the camera stops: the last one is what stays. */
const BLACK_FOR = 700;

export class Devices {
  /** What we send, and what we see of ourselves. */
  stream = new MediaStream();
  muted = false;
  cameraOff = false;
  #chosen;
  #on;
  #storage;
  #opened = 0;
  #opening = Promise.resolve();
  #stopping = 0;

  /** `on` has: changed(), track(kind, track or null), lost(kind, problem or null). */
  constructor(storage, on) {
    this.#storage = storage;
    this.#on = on;
    this.#chosen = Object.fromEntries(KINDS.map((kind) => [kind, storage.get(`device.${kind}`)]));
    navigator.mediaDevices?.addEventListener("devicechange", () => on.changed());
  }

  /** What is sent now, by kind; null is nothing. */
  get tracks() {
    return { audio: this.#track("audio"), video: this.#track("video") };
  }

  /** Opens what is not open; `{ audio, video }` has the name of the error where one is missing. */
  open() {
    // One question at a time: who asks meanwhile gets what the first one got.
    this.#opening = this.#opening.then(() => this.#openMissing());
    return this.#opening;
  }

  async #openMissing() {
    const problems = {};
    const missing = KINDS.filter((kind) => !this.#track(kind) && !(kind === "video" && this.cameraOff));
    if (missing.length === 0) return problems;
    if (!navigator.mediaDevices?.getUserMedia) {
      return Object.fromEntries(missing.map((kind) => [kind, "insecure"]));
    }
    const round = (this.#opened += 1);
    for (const kinds of await this.#attempts(missing, problems)) {
      try {
        const found = await this.#ask(kinds);
        for (const kind of kinds) delete problems[kind];
        this.#keep(round, found.getTracks());
      } catch (error) {
        for (const kind of kinds) problems[kind] = error.name;
        // Who says no to both is not asked again for each.
        if (kinds.length === 1) continue;
        if (error.name === "NotAllowedError" && !(await this.#someAllowed())) return problems;
        for (const kind of kinds) await this.#openOne(round, kind, problems);
      }
    }
    return problems;
  }

  /** Gives back camera and microphone. */
  release() {
    this.#opened += 1;
    clearTimeout(this.#stopping);
    for (const track of this.stream.getTracks()) this.#drop(track);
    this.muted = false;
    this.cameraOff = false;
    this.#on.changed();
  }

  setMuted(muted) {
    this.muted = muted;
    for (const track of this.stream.getAudioTracks()) track.enabled = !muted;
    this.#on.changed();
  }

  /** Off is off: after a moment the camera's light goes out. Returns the error's name, if any. */
  async setCameraOff(off) {
    this.cameraOff = off;
    clearTimeout(this.#stopping);
    const track = this.#track("video");
    if (track) track.enabled = !off;
    this.#on.changed();
    if (off) {
      this.#stopping = setTimeout(() => {
        if (!track || !this.cameraOff) return;
        this.#drop(track);
        this.#on.track("video", null);
      }, BLACK_FOR);
      return null;
    }
    if (track) return null;
    const problem = (await this.open()).video ?? null;
    if (problem) this.cameraOff = true;
    this.#on.changed();
    return problem;
  }

  /** Uses this device from now on, in a running call too. Returns the error's name, if any. */
  async choose(kind, deviceId) {
    const before = this.#track(kind);
    if (before?.getSettings().deviceId === deviceId) return null;
    const round = this.#opened;
    try {
      const found = await navigator.mediaDevices.getUserMedia({ [kind]: wish(kind, { exact: deviceId }) });
      this.#chosen[kind] = deviceId;
      this.#storage.set(`device.${kind}`, deviceId);
      if (kind === "video") this.cameraOff = false;
      this.#keep(round, found.getTracks(), before);
      return null;
    } catch (error) {
      return error.name;
    } finally {
      this.#on.changed();
    }
  }

  /** What there is of a kind: `{ id, label, inUse }`. Labels are there once a device was allowed. */
  async list(kind) {
    const all = (await navigator.mediaDevices?.enumerateDevices?.().catch(() => [])) ?? [];
    const used = this.#track(kind)?.getSettings().deviceId ?? this.#chosen[kind];
    return all
      .filter((device) => device.kind === LISTED_AS[kind] && device.deviceId)
      .map(({ deviceId, label }) => ({ id: deviceId, label, inUse: deviceId === used }));
  }

  #track(kind) {
    return this.stream.getTracks().find((track) => track.kind === kind) ?? null;
  }

  /** Both in one question, unless it is known before that one of them cannot be. */
  async #attempts(missing, problems) {
    const denied = await Promise.all(missing.map((kind) => permission(kind)));
    const open = missing.filter((_, i) => denied[i] !== "denied");
    for (const kind of missing) if (!open.includes(kind)) problems[kind] = "NotAllowedError";
    return open.length > 0 ? [open] : [];
  }

  async #someAllowed() {
    const states = await Promise.all(KINDS.map((kind) => permission(kind)));
    return states.includes("granted");
  }

  async #openOne(round, kind, problems) {
    try {
      const found = await this.#ask([kind]);
      delete problems[kind];
      this.#keep(round, found.getTracks());
    } catch (error) {
      problems[kind] = error.name;
    }
  }

  #ask(kinds) {
    const wishes = kinds.map((kind) => [kind, wish(kind, { ideal: this.#chosen[kind] ?? undefined })]);
    return navigator.mediaDevices.getUserMedia(Object.fromEntries(wishes));
  }

  /** Takes over what was opened, unless everything was given back meanwhile. */
  #keep(round, tracks, instead = null) {
    if (round !== this.#opened) {
      for (const track of tracks) track.stop();
      return;
    }
    for (const track of tracks) {
      if (track.kind === "audio") track.enabled = !this.muted;
      if (track.kind === "video" && this.cameraOff) {
        track.stop();
        continue;
      }
      track.onended = () => this.#ended(track);
      this.stream.addTrack(track);
      this.#on.track(track.kind, track);
    }
    if (instead) this.#drop(instead);
    this.#on.changed();
  }

  #drop(track) {
    track.onended = null;
    track.stop();
    this.stream.removeTrack(track);
  }

  /** Pulled out: another takes its place, if there is one. */
  async #ended(track) {
    this.#drop(track);
    this.#on.track(track.kind, null);
    const problems = {};
    if (!(track.kind === "video" && this.cameraOff)) {
      await this.#openOne(this.#opened, track.kind, problems);
    }
    this.#on.lost(track.kind, problems[track.kind] ?? null);
    this.#on.changed();
  }
}

const wish = (kind, deviceId) => ({ ...(kind === "video" ? VIDEO : AUDIO), deviceId });

/** granted, denied or prompt; not every browser says it. */
async function permission(kind) {
  try {
    const name = kind === "video" ? "camera" : "microphone";
    return (await navigator.permissions.query({ name })).state;
  } catch {
    return "prompt";
  }
}
