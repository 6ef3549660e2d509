import { Group, Kbd, Modal, SimpleGrid, Stack, Text, Title } from "@mantine/core";
import { useTranslation } from "react-i18next";

import { useShortcutSheet } from "@/lib/shortcuts";

const NAMES: Record<string, string> = {
  mod: "Ctrl",
  ArrowLeft: "←",
  ArrowRight: "→",
  Escape: "Esc",
};

function Keys({ keys }: { keys: string }) {
  const parts = keys.split(/[ +]/).filter(Boolean);
  return (
    <Group gap={4} wrap="nowrap">
      {parts.map((key) => (
        <Kbd key={key}>{NAMES[key] ?? key}</Kbd>
      ))}
    </Group>
  );
}

/** Every key that does something on this page. */
export function ShortcutSheet({ opened, close }: { opened: boolean; close: () => void }) {
  const { t } = useTranslation(["app", "common"]);
  const groups = useShortcutSheet((sheet) => sheet.groups);
  return (
    <Modal
      opened={opened}
      onClose={close}
      title={<Text fw={650}>{t("shortcuts.title")}</Text>}
      size="lg"
      closeButtonProps={{ "aria-label": t("common:close") }}
    >
      <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="xl">
        {[...groups].map(([group, shortcuts]) => (
          <Stack key={group} gap="xs">
            <Title order={3}>{group}</Title>
            {shortcuts.map(({ keys, label }) => (
              <Group key={keys} justify="space-between" wrap="nowrap">
                <Text size="sm">{label}</Text>
                <Keys keys={keys} />
              </Group>
            ))}
          </Stack>
        ))}
      </SimpleGrid>
    </Modal>
  );
}
