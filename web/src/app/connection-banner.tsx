import { Button, Text } from "@mantine/core";
import { useInterval } from "@mantine/hooks";
import { CloudOff } from "lucide-react";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";

import { useConnection, useLive } from "@/lib/live";

import classes from "./connection-banner.module.css";

const GRACE = 1200; // milliseconds, in which a short break mends itself unseen

/** Says so while the server is away, and when it is tried again. */
export function ConnectionBanner() {
  const { t } = useTranslation("app");
  const connection = useConnection();
  const socket = useLive();
  const open = connection.status === "open";
  const [shown, setShown] = useState(false);
  const [now, setNow] = useState(() => Date.now());
  useInterval(() => setNow(Date.now()), 500, { autoInvoke: true });
  useEffect(() => {
    const timer = setTimeout(() => setShown(!open), open ? 0 : GRACE);
    return () => clearTimeout(timer);
  }, [open]);
  if (open || !shown) return <div role="status" aria-live="polite" />;
  const seconds =
    connection.status === "waiting" ? Math.ceil((connection.retryAt - now) / 1000) : 0;
  return (
    <div role="status" aria-live="polite" className={classes.banner}>
      <CloudOff size={18} aria-hidden />
      <Text size="sm" fw={550}>
        {t("connection.lost")}
      </Text>
      <Text size="sm" c="dimmed" className="numbers" aria-hidden>
        {seconds > 0 ? t("connection.retry", { seconds }) : t("connection.trying")}
      </Text>
      <Button size="compact-sm" variant="default" onClick={socket.hurry}>
        {t("connection.now")}
      </Button>
    </div>
  );
}
