import { afterEach, beforeEach, expect, test, vi } from "vitest";

import type { ServerFrame } from "@/api/types";
import { backOff, LiveSocket } from "@/lib/socket";

/** The browser's end of a line whose other end is the test. */
class Line extends EventTarget {
  static all: Line[] = [];
  readyState: number = WebSocket.CONNECTING;
  sent: unknown[] = [];
  onopen: (() => void) | null = null;
  onclose: (() => void) | null = null;
  onmessage: ((message: { data: string }) => void) | null = null;

  constructor(readonly url: string) {
    super();
    Line.all.push(this);
  }

  send = (text: string) => this.sent.push(JSON.parse(text));
  close = () => this.cut();

  accept(seq: number) {
    this.readyState = WebSocket.OPEN;
    this.onopen?.();
    this.tell("connection_established", { replayed: true }, seq);
  }

  tell(type: string, data: object, seq: number) {
    this.onmessage?.({ data: JSON.stringify({ type, data, seq }) });
  }

  cut() {
    this.readyState = WebSocket.CLOSED;
    this.onclose?.();
  }
}

function last(): Line {
  const line = Line.all.at(-1);
  if (line === undefined) throw new Error("no line was opened");
  return line;
}
const socket = () => new LiveSocket("ws://here/ws", (url) => new Line(url) as unknown as WebSocket);

beforeEach(() => {
  vi.useFakeTimers();
  Line.all = [];
});
afterEach(() => vi.useRealTimers());

test("waits grow, and have an end", () => {
  const waits = [1, 2, 3, 4, 5, 6, 7, 20].map((attempt) => backOff(attempt, 0.5));
  expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
  expect(backOff(3, 0)).toBeLessThan(backOff(3, 0.99));
});

test("after a break it asks for what came since", () => {
  const live = socket();
  live.start();
  expect(last().url).toBe("ws://here/ws");
  last().accept(10);
  last().tell("queue_update", { reason: "paused" }, 17);
  expect(live.connection().status).toBe("open");
  last().cut();
  expect(live.connection()).toMatchObject({ status: "waiting", attempt: 1 });
  vi.advanceTimersByTime(1000);
  expect(last().url).toBe("ws://here/ws?since=17");
  last().accept(18);
  expect(live.connection().status).toBe("open");
});

test("a server that stays away is asked less and less often", () => {
  const live = socket();
  live.start();
  for (let count = 0; count < 5; count += 1) {
    last().cut();
    vi.advanceTimersByTime(16_000);
  }
  last().cut();
  expect(live.connection()).toMatchObject({ status: "waiting", attempt: 6 });
  const lines = Line.all.length;
  live.hurry();
  expect(Line.all.length).toBe(lines + 1);
});

test("topics are asked for once, again after a break, and let go with the last who wants them", () => {
  const live = socket();
  live.start();
  last().accept(1);
  const first = live.subscribe("previews");
  const second = live.subscribe("previews");
  const subscribe = { type: "subscribe", data: { topic: "previews" } };
  expect(last().sent).toEqual([subscribe]);
  last().cut();
  vi.advanceTimersByTime(1000);
  last().accept(2);
  expect(last().sent).toEqual([subscribe]);
  first();
  expect(last().sent).toHaveLength(1);
  second();
  expect(last().sent.at(-1)).toEqual({ type: "unsubscribe", data: { topic: "previews" } });
});

test("a line that says nothing is asked, and given up without an answer", () => {
  const live = socket();
  live.start();
  const line = last();
  line.accept(1);
  vi.advanceTimersByTime(20_000);
  expect(line.sent).toEqual([{ type: "ping" }]);
  line.tell("pong", {}, 1);
  vi.advanceTimersByTime(20_000);
  expect(line.sent).toHaveLength(2);
  vi.advanceTimersByTime(10_000);
  expect(live.connection().status).toBe("waiting");
});

test("frames reach whoever listens", () => {
  const live = socket();
  const heard: ServerFrame[] = [];
  const quiet = live.onFrame((frame) => heard.push(frame));
  live.start();
  last().accept(1);
  quiet();
  last().tell("task_deleted", { task_id: "a" }, 2);
  expect(heard.map((frame) => frame.type)).toEqual(["connection_established"]);
});
