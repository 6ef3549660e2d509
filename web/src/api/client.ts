import createClient from "openapi-fetch";

import type { ActionCall, paths, Problem } from "@/api/types";

export const api = createClient<paths>({ baseUrl: window.location.origin });

/** What the server said no to, or that it said nothing. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly problem: Problem,
  ) {
    super(problem.message);
    this.name = "ApiError";
  }

  get code(): string {
    return this.problem.code;
  }
}

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** The data of an answer. Throws ApiError. */
export async function unwrap<T>(asked: Promise<Answer<T>>): Promise<T> {
  const answer = await asked.catch((reason: unknown) => {
    if (reason instanceof TypeError) throw new ApiError(0, unreachable(reason.message));
    throw reason;
  });
  if (answer.response.ok) return answer.data as T;
  throw new ApiError(answer.response.status, problemOf(answer.error, answer.response.status));
}

/** Do what an error suggests, which says the call for it. Throws ApiError. */
export async function follow(call: ActionCall): Promise<unknown> {
  const sent = fetch(new URL(call.path, window.location.origin), {
    method: call.method,
    headers: { "content-type": "application/json" },
    body: JSON.stringify(call.body),
  });
  return unwrap(
    sent.then(async (response) => {
      const said: unknown = await response.json().catch(() => undefined);
      return response.ok ? { data: said, response } : { error: said, response };
    }),
  );
}

function problemOf(error: unknown, status: number): Problem {
  if (typeof error === "object" && error !== null && "message" in error && "code" in error) {
    return error as Problem;
  }
  return bare(
    `HTTP_${status}`,
    typeof error === "string" && error !== "" ? error : `HTTP ${status}`,
  );
}

function unreachable(message: string): Problem {
  return bare("UNREACHABLE", message);
}

function bare(code: string, message: string): Problem {
  return { code, error: code, message, detail: message, suggestions: [], actions: [] };
}
