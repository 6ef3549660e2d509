import { Outlet, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { BottomNav } from "@/app/bottom-nav";
import { ConnectionBanner } from "@/app/connection-banner";
import { features, TEXTS } from "@/app/features";
import { JobNotices } from "@/app/job-notices";
import { ShortcutSheet } from "@/app/shortcut-sheet";
import { SideNav } from "@/app/side-nav";
import { TopBar } from "@/app/top-bar";
import { usePagesAtHand } from "@/app/use-pages-at-hand";
import { useTitle } from "@/app/use-title";
import { useShortcuts } from "@/lib/shortcuts";

import classes from "./shell.module.css";

/** What stands around every page. */
export function Shell() {
  const { t } = useTranslation(TEXTS);
  const navigate = useNavigate();
  const [sheet, setSheet] = useState(false);
  useTitle();
  usePagesAtHand();
  useShortcuts(t("shortcuts.everywhere"), [
    { keys: "?", label: t("shortcuts.sheet"), run: () => setSheet(true) },
    ...features.map(({ id, to, key }) => ({
      keys: `g ${key}`,
      label: t("shortcuts.goTo", { page: t(`${id}:nav`) }),
      run: () => void navigate({ to }),
    })),
  ]);
  return (
    <div className={classes.shell}>
      <a href="#page" className={classes.skip}>
        {t("skip")}
      </a>
      <SideNav openSheet={() => setSheet(true)} />
      <TopBar />
      <main id="page" tabIndex={-1} className={classes.main}>
        <ConnectionBanner />
        <Outlet />
      </main>
      <BottomNav />
      <ShortcutSheet opened={sheet} close={() => setSheet(false)} />
      <JobNotices />
    </div>
  );
}
