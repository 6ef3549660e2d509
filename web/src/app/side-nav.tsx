import { ActionIcon, Tooltip } from "@mantine/core";
import { Keyboard } from "lucide-react";
import { useTranslation } from "react-i18next";

import { Brand } from "@/app/brand";
import { NavLinks } from "@/app/nav-links";
import { SettingsMenu } from "@/app/settings-menu";

import classes from "./shell.module.css";

export function SideNav({ openSheet }: { openSheet: () => void }) {
  const { t } = useTranslation("app");
  return (
    <nav className={classes.side} aria-label={t("navigation")}>
      <div style={{ marginBlockEnd: "1.25rem" }}>
        <Brand />
      </div>
      <NavLinks iconSize={18} />
      <div className={classes.foot}>
        <SettingsMenu />
        <Tooltip label={t("shortcuts.title")}>
          <ActionIcon
            variant="subtle"
            color="gray"
            size="lg"
            aria-label={t("shortcuts.title")}
            onClick={openSheet}
          >
            <Keyboard size={18} aria-hidden />
          </ActionIcon>
        </Tooltip>
      </div>
    </nav>
  );
}
