import { screen } from "@testing-library/react";
import { expect, test } from "vitest";

import { GoodAt } from "@/components/good-at";
import de from "@/components/locales/de.json";
import { draw } from "@/lib/draw.fixture";
import { model } from "@/lib/models.fixture";

test("a model is described in the user's language, one of another family in the server's words", () => {
  draw(<GoodAt model={model({ id: "wan2.1-t2v-14B", good_at: "video" })} />, { common: de });
  expect(screen.getByText(de.model["wan2_1-t2v-14B"].goodAt).lang).toBe("");
  draw(<GoodAt model={model({ id: "their-model", good_at: "clouds" })} />, { common: de });
  expect(screen.getByText("clouds").lang).toBe("en");
});
