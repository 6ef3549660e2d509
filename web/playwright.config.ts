import { defineConfig } from "@playwright/test";

/** A real browser, server and worker: each test file may take a server of its own, so one runs at a time. */
export default defineConfig({
  testDir: "e2e",
  outputDir: "e2e/results",
  workers: 1,
  timeout: 180_000,
  expect: { timeout: 20_000 },
  grepInvert: process.env.LONG === undefined ? /@long/ : [],
  reporter: [["list"]],
  use: {
    viewport: { width: 1280, height: 800 },
    actionTimeout: 15_000,
    trace: "retain-on-failure",
    launchOptions: {
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
    },
  },
});
