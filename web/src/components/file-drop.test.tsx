import { fireEvent, screen, waitFor } from "@testing-library/react";
import { expect, test, vi } from "vitest";

import { FileDrop } from "@/components/file-drop";
import common from "@/components/locales/en.json";
import { useDraft } from "@/lib/draft";
import { draw } from "@/lib/draw.fixture";
import { model } from "@/lib/models.fixture";

// The client of the API takes the browser's fetch when it is made.
const asked = vi.hoisted(() => {
  const fetch = vi.fn<(request: Request) => Promise<Response>>();
  globalThis.fetch = fetch as typeof globalThis.fetch;
  return fetch;
});
vi.mock("@/api/files", () => ({
  sendFile: () =>
    Promise.resolve({ request: { prompt: "a heron", model_type: "t2v-A14B", frames: 81 } }),
}));

test("a video that is dropped before the models are known gets its model and length all the same", async () => {
  let answer: (response: Response) => void = () => undefined;
  asked.mockReturnValue(new Promise((resolve) => (answer = resolve)));
  const taken = vi.fn();
  draw(<FileDrop onTaken={taken}>here</FileDrop>, { common });
  const files = [new File(["film"], "heron.mp4", { type: "video/mp4" })];
  fireEvent.drop(screen.getByText("here"), { dataTransfer: { files, types: ["Files"] } });
  await waitFor(() => expect(asked).toHaveBeenCalled());
  expect(taken).not.toHaveBeenCalled();
  answer(Response.json({ models: [model()], problems: [] }));
  await waitFor(() => expect(taken).toHaveBeenCalled());
  expect(useDraft.getState().draft).toMatchObject({ model: "t2v-A14B", seconds: 81 / 16 });
});
