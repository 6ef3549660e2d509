import "@fontsource-variable/bricolage-grotesque";
import "@fontsource-variable/inter";
import "@mantine/core/styles.css";
import "@mantine/notifications/styles.css";
import "@/app/global.css";

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { App } from "@/app/app";
import { startTexts } from "@/app/i18n";

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");
await startTexts();
createRoot(root).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
