import { Progress } from "@mantine/core";
import { useTranslation } from "react-i18next";

/** How much of a file has been sent; the rest of the time, the server reads it. */
export function Sending({ percent }: { percent: number }) {
  const { t } = useTranslation("common");
  return (
    <Progress
      w="100%"
      size="sm"
      radius="xl"
      value={percent}
      animated={percent >= 100}
      aria-label={t("sending", { percent })}
    />
  );
}
