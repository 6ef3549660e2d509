import { Button } from "@mantine/core";
import { Compass } from "lucide-react";
import { useTranslation } from "react-i18next";

import { useWelcome } from "./use-welcome";

/** Shows the first steps, or takes them away. */
export function WelcomeButton() {
  const { t } = useTranslation("generate");
  const { shown, show } = useWelcome();
  return (
    <Button
      variant="subtle"
      color="gray"
      c="dimmed"
      aria-expanded={shown}
      leftSection={<Compass size={16} aria-hidden />}
      onClick={() => show(!shown)}
    >
      {t("welcome.button")}
    </Button>
  );
}
