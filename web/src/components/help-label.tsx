import { ActionIcon, Group, Popover, Text } from "@mantine/core";
import { CircleHelp } from "lucide-react";
import { useTranslation } from "react-i18next";

interface HelpLabelProps {
  label: string;
  help: string;
}

/** The name of a field, with what it does one touch away. */
export function HelpLabel({ label, help }: HelpLabelProps) {
  const { t } = useTranslation("common");
  return (
    <Group gap={2} component="span" wrap="nowrap" display="inline-flex">
      {label}
      <Popover width={300} position="top" withArrow shadow="md" radius="md">
        <Popover.Target>
          <ActionIcon
            variant="transparent"
            color="gray"
            size={24}
            aria-label={t("help", { field: label })}
            // Inside a <label>, a click would also go to its field.
            onClick={(event) => event.preventDefault()}
          >
            <CircleHelp size={14} color="var(--dim)" aria-hidden />
          </ActionIcon>
        </Popover.Target>
        <Popover.Dropdown>
          <Text size="sm" fw={400}>
            {help}
          </Text>
        </Popover.Dropdown>
      </Popover>
    </Group>
  );
}
