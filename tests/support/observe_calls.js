// Runs before any script of a page: remembers the page's peer connections, when what happened and
// what its policy forbade, and leaves the page's own behaviour alone.
(() => {
  "use strict";
  window.policyViolations = [];
  addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
    window.policyViolations.push(`${violatedDirective} ${blockedURI}`));

  const Native = window.RTCPeerConnection;
  let last = null;

  class Observed extends Native {
    constructor(...args) {
      super(...args);
      const seen = { connection: this, offerAt: null, firstPictureAt: null };
      last = seen;
      this.addEventListener("track", ({ track }) => {
        if (track.kind === "video") awaitFirstPicture(track, seen);
      });
    }
    setLocalDescription(description) {
      if (!description || description.type === "offer") last.offerAt ??= performance.now();
      return super.setLocalDescription(description);
    }
    setRemoteDescription(description) {
      if (description.type === "offer") last.offerAt ??= performance.now();
      return super.setRemoteDescription(description);
    }
  }
  window.RTCPeerConnection = Observed;

  // A video element of our own, because the page may not show the picture at all.
  function awaitFirstPicture(track, seen) {
    const video = document.createElement("video");
    video.muted = true;
    video.style.cssText = "position: fixed; width: 1px; height: 1px; bottom: 0; right: 0";
    video.srcObject = new MediaStream([track]);
    video.requestVideoFrameCallback((now) => {
      seen.firstPictureAt ??= now;
      video.srcObject = null;
      video.remove();
    });
    document.body.append(video);
    video.play().catch(() => {});
  }

  window.observedConnection = () => last?.connection;

  window.observedCall = async () => {
    if (!last) return {};
    const report = { connectionState: last.connection.connectionState };
    if (last.firstPictureAt !== null && last.offerAt !== null) {
      report.firstPictureMs = last.firstPictureAt - last.offerAt;
    }
    const stats = await last.connection.getStats();
    for (const entry of stats.values()) {
      const direction = { "inbound-rtp": "inbound", "outbound-rtp": "outbound" }[entry.type];
      if (!direction) continue;
      const kind = entry.kind === "video" ? "Video" : "Audio";
      report[direction + kind] = { ...entry, mimeType: stats.get(entry.codecId)?.mimeType ?? "" };
    }
    return report;
  };
})();
