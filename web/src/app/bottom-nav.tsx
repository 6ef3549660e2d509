import { useTranslation } from "react-i18next";

import { NavLinks } from "@/app/nav-links";

import classes from "./shell.module.css";

/** On phones. */
export function BottomNav() {
  const { t } = useTranslation("app");
  return (
    <nav className={classes.bottom} aria-label={t("navigation")}>
      <NavLinks iconSize={21} />
    </nav>
  );
}
