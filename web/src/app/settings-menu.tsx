import { ActionIcon, Menu, useMantineColorScheme, type MantineColorScheme } from "@mantine/core";
import { Bell, BellOff, Check, Languages, Monitor, Moon, Settings2, Sun } from "lucide-react";
import { useTranslation } from "react-i18next";

import { chooseLanguage, languages, nameOf } from "@/app/i18n";
import { useNotices } from "@/lib/notices";

const schemes: readonly [MantineColorScheme, typeof Sun][] = [
  ["light", Sun],
  ["dark", Moon],
  ["auto", Monitor],
];

/** How the app looks, speaks and calls. */
export function SettingsMenu() {
  const { t, i18n } = useTranslation("app");
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const notices = useNotices();
  const tick = (on: boolean) => (on ? <Check size={15} aria-hidden /> : null);
  return (
    <Menu width={230} position="top-start" shadow="md" radius="md">
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" size="lg" aria-label={t("settings.title")}>
          <Settings2 size={18} aria-hidden />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>{t("settings.look")}</Menu.Label>
        {schemes.map(([scheme, Icon]) => (
          <Menu.Item
            key={scheme}
            leftSection={<Icon size={16} aria-hidden />}
            rightSection={tick(colorScheme === scheme)}
            aria-current={colorScheme === scheme || undefined}
            onClick={() => setColorScheme(scheme)}
          >
            {t(`settings.scheme.${scheme}`)}
          </Menu.Item>
        ))}
        <Menu.Label>{t("settings.language")}</Menu.Label>
        {languages.map((language) => (
          <Menu.Item
            key={language}
            lang={language}
            leftSection={<Languages size={16} aria-hidden />}
            rightSection={tick(i18n.language === language)}
            aria-current={i18n.language === language || undefined}
            onClick={() => void chooseLanguage(language)}
          >
            {nameOf(language)}
          </Menu.Item>
        ))}
        <Menu.Label>{t("settings.notices")}</Menu.Label>
        <Menu.Item
          leftSection={
            notices.on ? <Bell size={16} aria-hidden /> : <BellOff size={16} aria-hidden />
          }
          disabled={notices.blocked}
          onClick={() => void notices.toggle()}
        >
          {notices.blocked
            ? t("settings.blocked")
            : notices.on
              ? t("settings.quiet")
              : t("settings.tell")}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
