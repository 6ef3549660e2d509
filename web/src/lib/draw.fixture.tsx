import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, render, type RenderResult } from "@testing-library/react";
import i18next from "i18next";
import type { ReactElement } from "react";
import { initReactI18next } from "react-i18next";
import { afterEach } from "vitest";

afterEach(cleanup);

/** Draw a component in English, with answers of the server that it finds in the cache and never asks for. */
export function draw(
  element: ReactElement,
  texts: Record<string, object>,
  known: readonly (readonly [key: readonly unknown[], data: unknown])[] = [],
): RenderResult {
  void i18next.use(initReactI18next).init({
    lng: "en",
    resources: { en: texts },
    interpolation: { escapeValue: false },
  });
  const client = new QueryClient({ defaultOptions: { queries: { staleTime: Infinity } } });
  for (const [key, data] of known) client.setQueryData(key, data);
  return render(
    <MantineProvider env="test">
      <QueryClientProvider client={client}>{element}</QueryClientProvider>
    </MantineProvider>,
  );
}
