import { Brand } from "@/app/brand";
import { SettingsMenu } from "@/app/settings-menu";

import classes from "./shell.module.css";

/** On phones. */
export function TopBar() {
  return (
    <header className={classes.top}>
      <Brand />
      <SettingsMenu />
    </header>
  );
}
