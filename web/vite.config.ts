import { fileURLToPath } from "node:url";

import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

const SERVER = process.env.WANVIDEO_URL ?? "http://127.0.0.1:9000";
const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** As if the page came from the server itself, which refuses what other pages ask. */
const proxy = { target: SERVER, changeOrigin: true, ws: true, headers: { origin: SERVER } };

export default defineConfig({
  plugins: [react()],
  resolve: { alias: { "@": here("./src") } },
  server: { port: 5173, proxy: { "/api": proxy, "/ws": proxy, "/v1": proxy } },
  build: {
    outDir: here("../src/wanvideo/server/static"),
    emptyOutDir: true,
    assetsInlineLimit: 0, // fonts and pictures stay files, which the server's content policy allows
    manifest: true,
    chunkSizeWarningLimit: 1000, // scripts/budget.mjs says what is too much
  },
  test: { environment: "happy-dom", include: ["src/**/*.test.{ts,tsx}"] },
});
