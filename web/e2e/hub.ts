import { spawn, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";

import { ENV, PYTHON } from "./server";

/** A hub of models on this computer; hub.py says what it has. */
export class Hub {
  readonly url: string;
  readonly #process: ChildProcessByStdio<Writable, Readable, null>;

  private constructor(url: string, child: ChildProcessByStdio<Writable, Readable, null>) {
    this.url = url;
    this.#process = child;
  }

  static async start(): Promise<Hub> {
    const program = join(import.meta.dirname, "hub.py");
    const child = spawn(PYTHON, [program], { env: ENV, stdio: ["pipe", "pipe", "inherit"] });
    const [line] = (await once(child.stdout, "data")) as [Buffer];
    return new Hub(line.toString().trim(), child);
  }

  /** Of each connection. */
  setSpeed(bytesPerSecond: number): void {
    this.#process.stdin.write(`${bytesPerSecond}\n`);
  }

  close(): void {
    this.#process.stdin.end();
  }
}
