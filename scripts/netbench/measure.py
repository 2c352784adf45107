"""From what both ends and the link have noted to the figures of one direction. Pure."""
import media

FREEZE_FACTOR, FREEZE_SECONDS = 3, 0.15
SETTLED, SOUND_SETTLED, LATENCY_FROM = 10, 2, 5


def quantile(values, share):
    """The value that such a share of them does not exceed; None of nothing."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else None


def rounded(value, digits=0):
    """Rounds what may be None."""
    if value is None:
        return None
    return round(value, digits) if digits else round(value)


def freezes(times):
    """How often pictures froze as the W3C says (freezeCount), for how long, and the longest gap."""
    count, total, longest, longest_at, gaps = 0, 0.0, 0.0, None, []
    for earlier, later in zip(times, times[1:]):
        gap = later - earlier
        if gap > longest:
            longest, longest_at = gap, earlier
        if gaps:
            recent = gaps[-30:]
            mean = sum(recent) / len(recent)
            if gap > max(FREEZE_FACTOR * mean, mean + FREEZE_SECONDS):
                count += 1
                total += gap
        gaps.append(gap)
    return count, total, longest, longest_at


class Direction:
    """What one end got from the other, from the moment of connecting on."""

    def __init__(self, sender, receiver, link_rows, began, seconds):
        self.sender, self.receiver, self.began, self.seconds = sender, receiver, began, seconds
        self.end = began + seconds
        self.rows = [row for row in receiver.rows if began <= row["t"] <= self.end + 1]
        self.shown = [at for at, _ in receiver.shown if began <= at <= self.end]
        self.link = [(at, row) for at, row in link_rows if began - 0.2 <= at <= self.end]
        self.latencies = []
        for at, number in receiver.shown:
            if began <= at <= self.end and number is not None and number >= 0:
                captured = sender.captured(number, at)
                if captured is not None and at - captured < media.SECONDS - 1:
                    self.latencies.append((at, (at - captured) * 1e3))

    def after(self, seconds):
        """The rows from that second on, or all when there are none."""
        return [row for row in self.rows if row["t"] >= self.began + seconds] or self.rows

    def figures(self):
        """Everything."""
        told = self.pictures()
        told.update(self.sound())
        told.update(self.latency())
        told.update(self.path())
        told["per_second"] = self.per_second()
        return told

    def pictures(self):
        """How many were shown, and how evenly."""
        late = len([at for at in self.shown if at >= self.began + SETTLED])
        told = {"fps_shown": rounded(late / max(1, self.seconds - SETTLED), 1)}
        sizes = {f"{row['width']}x{row['height']}" for row in self.rows if row.get("width")}
        told["sizes"] = sorted(sizes, key=lambda size: -int(size.split("x")[0]))
        times = self.shown
        if times and self.end - times[-1] > 0.5:
            times = times + [self.end]  # A picture that never comes back is a freeze too.
        count, total, longest, at = freezes(times)
        if self.shown:
            told.update(freezes=count, frozen_s=rounded(total, 2), gap_ms=rounded(longest * 1e3))
            told["gap_at_s"] = rounded(at - self.began, 1) if at else None
        if self.rows:
            last = self.rows[-1]
            told.update(nacks=last["nacks"], plis=last["plis"], keyframes=last["keyframes"])
        rows = self.after(SETTLED)
        if len(rows) > 1:
            received = sum(rows[-1][kind] - rows[0][kind] for kind in ("video_bytes", "audio_bytes"))
            told["received_kbit"] = rounded(received * 8 / 1e3 / max(0.5, rows[-1]["t"] - rows[0]["t"]))
        return told

    def sound(self):
        """How much of it was made up."""
        rows = self.after(SOUND_SETTLED)
        if not rows:
            return {}
        concealed = rows[-1]["concealed"] - rows[0]["concealed"]
        samples = rows[-1]["samples"] - rows[0]["samples"]
        return {"concealed_pct": rounded(100 * concealed / max(1, samples), 2)}

    def latency(self):
        """From capture to shown."""
        all_of_them = [ms for at, ms in self.latencies if at > self.began + LATENCY_FROM]
        last = [ms for at, ms in self.latencies if at > self.end - 5]
        return dict(
            latency_p50=rounded(quantile(all_of_them, 0.5)),
            latency_p95=rounded(quantile(all_of_them, 0.95)),
            latency_max=rounded(max(all_of_them, default=None)),
            latency_last5=rounded(quantile(last, 0.5)),
        )

    def path(self):
        """What the link carried, kept waiting, lost and dropped, and what was repeated for it."""
        if len(self.link) < 20:
            return {}
        per_second = [self.link_second(second) for second in range(int(self.seconds))]
        settled = per_second[SETTLED:] or per_second
        told = {"kbit_mean": rounded(sum(second["kbit"] for second in settled) / len(settled))}
        if all(second["capacity_kbit"] for second in settled):
            capacity = sum(second["capacity_kbit"] for second in settled)
            told["used_pct"] = rounded(100 * sum(second["kbit"] for second in settled) / capacity, 1)
        told["s_to_85_pct"] = first_second_at(per_second, 0.85)
        told["s_back"] = seconds_back(per_second)
        waits = [row["wait_ms"] for at, row in self.link if at > self.began + LATENCY_FROM]
        told.update(queue_p50=rounded(quantile(waits, 0.5)), queue_p95=rounded(quantile(waits, 0.95)))
        told.update(queue_max=rounded(max(waits)), queue_over_100_s=rounded(sum(w > 100 for w in waits) / 10, 1))
        first, last = self.link[0][1], self.link[-1][1]
        lost, dropped = last["lost"] - first["lost"], last["tail_dropped"] - first["tail_dropped"]
        told.update(lost=lost, tail_dropped=dropped)
        repeated = [row["repeated"] for row in self.sender.rows if row.get("repeated") is not None]
        told["repeated"] = repeated[-1] if repeated else None
        if repeated and lost + dropped >= 20:
            told["repeated_by_missing"] = rounded(repeated[-1] / (lost + dropped), 2)
        total = max(1, last["sent_bytes"] - first["sent_bytes"])
        told["tcp_share_pct"] = rounded(100 * self.tcp_bytes() / total, 1)
        return told

    def tcp_bytes(self):
        """What a TCP flow beside the call had of the link."""
        return self.link[-1][1]["tcp_bytes"] - self.link[0][1]["tcp_bytes"]

    def link_second(self, second):
        """One second of the link."""
        start = self.began + second
        rows = [row for at, row in self.link if start <= at < start + 1.05]
        if len(rows) < 2:
            return dict(kbit=0, capacity_kbit=None, queue_ms=0, lost=0, tail_dropped=0)
        first, last = rows[0], rows[-1]
        carried = (last["sent_bytes"] - first["sent_bytes"]) * 8 / ((len(rows) - 1) * 0.1)
        capacity = first["rate"]
        return dict(
            kbit=rounded(carried / 1e3),
            capacity_kbit=rounded(capacity / 1e3) if capacity else None,
            queue_ms=max(row["longest_wait_ms"] for row in rows),
            lost=last["lost"] - first["lost"],
            tail_dropped=last["tail_dropped"] - first["tail_dropped"],
        )

    def per_second(self):
        """Everything that changes, second by second."""
        told = []
        for second in range(int(self.seconds)):
            start = self.began + second
            latencies = [ms for at, ms in self.latencies if start <= at < start + 1]
            row = self.link_second(second)
            row["fps"] = len([at for at in self.shown if start <= at < start + 1])
            row["latency_ms"] = rounded(quantile(latencies, 0.5))
            row["concealed_pct"] = self.concealed_in(start)
            told.append(row)
        return told

    def concealed_in(self, start):
        """The share of sound made up in the second from `start` on."""
        for earlier, later in zip(self.rows, self.rows[1:]):
            if start <= (earlier["t"] + later["t"]) / 2 < start + 1:
                samples = later["samples"] - earlier["samples"]
                return rounded(100 * (later["concealed"] - earlier["concealed"]) / max(1, samples), 1)
        return None

    def after_gap(self, gap_end):
        """How a call comes back after `gap_end`, the moment from which packets get through again."""
        later = [at for at in self.shown if at > gap_end]
        medians = []
        for second in (0, 1, 2, 4, 8):
            start = gap_end + second
            medians.append(rounded(quantile([ms for at, ms in self.latencies if start <= at < start + 1], 0.5)))
        rows = [row for row in self.rows if row["t"] > gap_end][:6]
        concealed = []
        for earlier, later_row in zip(rows, rows[1:]):
            samples = later_row["samples"] - earlier["samples"]
            concealed.append(rounded(100 * (later_row["concealed"] - earlier["concealed"]) / max(1, samples)))
        return dict(
            recovered_ms=rounded((later[0] - gap_end) * 1e3) if later else None,
            latency_after=medians,
            concealed_after=concealed,
        )


def first_second_at(per_second, share):
    """The first second, from 1 on, that carries such a share of the link and is followed by one that does."""
    for index, second in enumerate(per_second):
        capacity = second["capacity_kbit"]
        if capacity and second["kbit"] >= share * capacity:
            following = per_second[index + 1] if index + 1 < len(per_second) else None
            if not following or not following["capacity_kbit"]:
                return index + 1
            if following["kbit"] >= (share - 0.05) * following["capacity_kbit"]:
                return index + 1
    return None


def seconds_back(per_second):
    """How many seconds after the last rise of capacity 80 % of it are used again."""
    capacities = [second["capacity_kbit"] or 0 for second in per_second]
    rises = [index for index in range(1, len(capacities)) if capacities[index] > capacities[index - 1] > 0]
    if not rises:
        return None
    for index in range(rises[-1], len(per_second)):
        if per_second[index]["kbit"] >= 0.8 * capacities[index]:
            return index - rises[-1] + 1
    return None
