import { Badge, Button, Group, Stack, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Trash2 } from "lucide-react";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { modelsQuery } from "@/api/queries";
import type { LoraView } from "@/api/types";
import { Facts } from "@/components/facts";
import { ConfirmDialog } from "@/components/confirm-dialog";
import { Panel } from "@/components/panel";
import { useFormat } from "@/lib/use-format";

import { KeysButton } from "./keys-button";
import { NotesButton } from "./notes-button";
import { impactQuery, useRemove } from "./use-loras";

import classes from "./loras.module.css";

/** One LoRA: what it is for, and what it takes. */
export function LoraCard({ lora }: { lora: LoraView }) {
  const { t } = useTranslation("loras");
  const [leaving, setLeaving] = useState(false);
  return (
    <Panel label={lora.name} className={classes.card}>
      <Stack gap="sm" h="100%">
        <Group gap={8}>
          <Title order={2} size="h3" className={classes.name}>
            {lora.name}
          </Title>
          {lora.pair && <Badge color="gray">{t("pair")}</Badge>}
          {lora.is_loaded && <Badge color="teal">{t("loaded")}</Badge>}
        </Group>
        {lora.problem != null && (
          <Text size="sm" c="var(--bad)" lang="en">
            {lora.problem}
          </Text>
        )}
        {lora.notes != null && (
          <Text size="sm" c="dimmed" lang="en">
            {lora.notes}
          </Text>
        )}
        <About lora={lora} />
        <Group mt="auto" gap="xs">
          <KeysButton lora={lora} />
          {lora.removable && <NotesButton lora={lora} />}
          {lora.removable && (
            <Button
              size="xs"
              variant="subtle"
              color="red"
              leftSection={<Trash2 size={14} aria-hidden />}
              disabled={lora.is_loaded}
              onClick={() => setLeaving(true)}
            >
              {t("delete.button")}
            </Button>
          )}
        </Group>
      </Stack>
      {leaving && <Leaving lora={lora} close={() => setLeaving(false)} />}
    </Panel>
  );
}

function About({ lora }: { lora: LoraView }) {
  const { t } = useTranslation("loras");
  const format = useFormat();
  const impact = useQuery({ ...impactQuery(lora.name), enabled: lora.problem == null }).data;
  const models = useQuery(modelsQuery).data?.models ?? [];
  const titleOf = (id: string) => models.find((model) => model.id === id)?.title ?? id;
  const rows: [string, string | null][] = [
    [t("facts.size"), format.bytes(lora.size_mb * 1e6)],
    [t("facts.base"), lora.base ?? null],
    [t("facts.rank"), lora.rank == null ? null : format.number(lora.rank)],
    [t("facts.words"), lora.trigger_words.join(", ") || null],
    [t("facts.models"), lora.models.map(titleOf).join(", ") || null],
    [
      t("facts.memory"),
      impact === undefined ? null : format.memory(impact.estimated_vram_increase_mb),
    ],
  ];
  return <Facts rows={rows} />;
}

function Leaving({ lora, close }: { lora: LoraView; close: () => void }) {
  const { t } = useTranslation("loras");
  const format = useFormat();
  const remove = useRemove();
  return (
    <ConfirmDialog
      title={t("delete.title", { name: lora.name })}
      deed={t("delete.deed")}
      onConfirm={() => remove.mutate(lora.name, { onSuccess: close })}
      onClose={close}
      busy={remove.isPending}
      error={remove.error}
    >
      <Text>{t("delete.frees", { size: format.bytes(lora.size_mb * 1e6) })}</Text>
    </ConfirmDialog>
  );
}
