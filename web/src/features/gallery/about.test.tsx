import { screen } from "@testing-library/react";
import { expect, test } from "vitest";

import type { VideoView } from "@/api/types";
import common from "@/components/locales/de.json";
import { draw } from "@/lib/draw.fixture";

import { About } from "./about";
import gallery from "./locales/de.json";
import { settingsQuery } from "./use-gallery";

const video = {
  id: "v1",
  prompt: "a heron",
  model: "t2v-A14B",
  filename: "heron.mp4",
  file_size_mb: 1,
} as VideoView;

test("settings have names in the user's language; those of another version keep their own", () => {
  const params = { guidance_low: 3, new_dial: 1 };
  draw(<About video={video} />, { gallery, common }, [
    [settingsQuery("v1").queryKey, { settings: { params } }],
  ]);
  expect(screen.getByText("Führung, wenig Rauschen")).toBeTruthy();
  expect(screen.getByText("new dial")).toBeTruthy();
});
