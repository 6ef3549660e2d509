import type { ServerFrame } from "@/api/types";

export type Topic =
  | "system_stats"
  | "generation_progress"
  | "previews"
  | "alerts"
  | "model_status"
  | "download_progress"
  | "fallback_notifications";

/** `waiting`: the line is cut, and the next try comes at `retryAt` (milliseconds since 1970). */
export type Connection =
  | { status: "connecting" }
  | { status: "open" }
  | { status: "waiting"; attempt: number; retryAt: number };

const FIRST_WAIT = 500; // milliseconds
const LONGEST_WAIT = 15_000;
const SILENCE = 20_000; // after which the server is asked whether it is there
const PATIENCE = 10_000; // for its answer

/** How long to wait before try number `attempt` (1 is the first); `spread` in [0, 1) keeps clients apart. */
export function backOff(attempt: number, spread: number): number {
  const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1));
  return Math.round(wait * (0.75 + spread / 2));
}

/** One line to the server that mends itself, and asks for what it has missed. */
export class LiveSocket {
  #socket: WebSocket | null = null;
  #connection: Connection = { status: "connecting" };
  #attempt = 0;
  #seq: number | null = null;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #watch: ReturnType<typeof setTimeout> | undefined;
  readonly #topics = new Map<Topic, number>();
  readonly #listeners = new Set<(frame: ServerFrame) => void>();
  readonly #watchers = new Set<() => void>();

  constructor(
    private readonly url: string,
    private readonly open: (url: string) => WebSocket = (address) => new WebSocket(address),
  ) {}

  start = (): void => {
    clearTimeout(this.#retry);
    this.#set({ status: "connecting" });
    const since = this.#seq === null ? "" : `?since=${this.#seq}`;
    const socket = this.open(this.url + since);
    this.#socket = socket;
    socket.onopen = () => {
      for (const topic of this.#topics.keys()) this.#send("subscribe", topic);
      this.#listen();
    };
    socket.onmessage = (message: MessageEvent<string>) => this.#receive(message.data);
    socket.onclose = () => {
      if (this.#socket === socket) this.#lost();
    };
  };

  stop = (): void => {
    clearTimeout(this.#retry);
    clearTimeout(this.#watch);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  };

  /** Try again at once: the network is back, or the tab woke up. */
  hurry = (): void => {
    if (this.#connection.status === "waiting") this.start();
    else if (this.#connection.status === "open") this.#ask();
  };

  /** Frames of this topic come as long as somebody wants them. Returns how to stop. */
  subscribe = (topic: Topic): (() => void) => {
    const wanted = this.#topics.get(topic) ?? 0;
    this.#topics.set(topic, wanted + 1);
    if (wanted === 0) this.#send("subscribe", topic);
    return () => {
      const left = (this.#topics.get(topic) ?? 1) - 1;
      if (left > 0) {
        this.#topics.set(topic, left);
      } else {
        this.#topics.delete(topic);
        this.#send("unsubscribe", topic);
      }
    };
  };

  onFrame = (listener: (frame: ServerFrame) => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  onChange = (watcher: () => void): (() => void) => {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  };

  connection = (): Connection => this.#connection;

  #receive(text: string): void {
    const frame = JSON.parse(text) as ServerFrame; // the server's word, which its tests hold against OpenAPI
    this.#seq = Math.max(this.#seq ?? 0, frame.seq);
    this.#listen();
    if (frame.type === "connection_established") {
      this.#attempt = 0;
      this.#set({ status: "open" });
    }
    for (const listener of this.#listeners) listener(frame);
  }

  #lost(): void {
    clearTimeout(this.#watch);
    this.#socket = null;
    this.#attempt += 1;
    const wait = backOff(this.#attempt, Math.random());
    this.#retry = setTimeout(this.start, wait);
    this.#set({ status: "waiting", attempt: this.#attempt, retryAt: Date.now() + wait });
  }

  /** A line that is cut often says nothing; so silence is asked about. */
  #listen(): void {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => this.#ask(), SILENCE);
  }

  #ask(): void {
    clearTimeout(this.#watch);
    this.#send("ping");
    const socket = this.#socket;
    this.#watch = setTimeout(() => {
      if (socket === null || this.#socket !== socket) return;
      socket.close(); // its own word about this may take minutes
      this.#lost();
    }, PATIENCE);
  }

  #send(type: "subscribe" | "unsubscribe" | "ping", topic?: Topic): void {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#socket.send(JSON.stringify(topic === undefined ? { type } : { type, data: { topic } }));
  }

  #set(connection: Connection): void {
    this.#connection = connection;
    for (const watcher of this.#watchers) watcher();
  }
}
