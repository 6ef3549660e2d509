import { execFile, spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

const ROOT = resolve(import.meta.dirname, "../..");
export const PYTHON = process.env.PYTHON ?? join(ROOT, ".venv/bin/python");
export const ENV = { ...process.env, PYTHONPATH: `${join(ROOT, "src")}:${ROOT}` };

/** The command `wan` of this checkout, wherever the environment is. */
const PROGRAM = "import sys; from wanvideo.cli.main import main; sys.exit(main())";

async function freePort(): Promise<number> {
  const listener = createServer();
  await new Promise<void>((done) => listener.listen(0, "127.0.0.1", done));
  const address = listener.address();
  await new Promise((done) => listener.close(done));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

interface Options {
  /** Where models are downloaded from; null: nowhere. */
  hub: string | null;
  /** Finished ones that are there at the start. */
  videos: number;
}

/** `wan serve --demo`, as a user starts it, with a folder of its own. */
export class Server {
  readonly data = mkdtempSync(join(tmpdir(), "wanvideo-e2e-"));
  readonly #options: Options;
  #process: ChildProcess | null = null;
  #port = 0;

  constructor(options: Options) {
    this.#options = options;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  async start(): Promise<void> {
    if (this.#port === 0) {
      this.#port = await freePort();
      await this.#fill();
    }
    const { hub } = this.#options;
    const options = ["--demo", "--data-dir", this.data, "--port", String(this.#port)];
    const env = {
      ...ENV,
      WAN_MODELS: "",
      WAN_LORAS: "",
      HF_HOME: join(this.data, "hub"),
      XDG_DATA_HOME: join(this.data, "share"),
      WANVIDEO_MIN_FREE_BYTES: "0",
      ...(hub === null ? { HF_HUB_OFFLINE: "1" } : { HF_ENDPOINT: hub, HF_HUB_OFFLINE: "0" }),
    };
    const child = spawn(PYTHON, ["-c", PROGRAM, "serve", ...options], { env, stdio: "ignore" });
    this.#process = child;
    for (let tries = 0; tries < 900; tries += 1) {
      if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}`);
      const answer = await fetch(`${this.url}/readyz`).catch(() => null);
      if (answer !== null) return;
      await new Promise((done) => setTimeout(done, 100));
    }
    await this.kill();
    throw new Error("the server does not answer");
  }

  async #fill(): Promise<void> {
    const { videos } = this.#options;
    if (videos === 0) return;
    const program = join(import.meta.dirname, "fill.py");
    await promisify(execFile)(PYTHON, [program, this.data, String(videos)], { env: ENV });
  }

  /** As a power cut does it. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = this.#process;
    if (child?.exitCode !== null || child.signalCode !== null) return;
    const over = new Promise((done) => child.once("exit", done));
    child.kill(signal);
    await over;
  }

  async close(): Promise<void> {
    await this.kill("SIGTERM");
    rmSync(this.data, { recursive: true, force: true });
  }

  async get<T>(path: string): Promise<T> {
    const answer = await fetch(this.url + path);
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as T;
  }

  async post<T>(path: string, body: object = {}): Promise<T> {
    const answer = await fetch(this.url + path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as T;
  }
}
