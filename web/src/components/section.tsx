import { Badge, Group, Stack, Title } from "@mantine/core";
import { useId, type ReactNode } from "react";

interface SectionProps {
  title: string;
  note?: string | undefined;
  children: ReactNode;
}

/** Things that belong together, under a heading. */
export function Section({ title, note, children }: SectionProps) {
  const id = useId();
  return (
    <Stack component="section" aria-labelledby={id} gap="sm">
      <Group gap="sm">
        <Title order={2} id={id}>
          {title}
        </Title>
        {note !== undefined && <Badge color="yellow">{note}</Badge>}
      </Group>
      {children}
    </Stack>
  );
}
