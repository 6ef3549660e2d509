import { Group, Select, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useTranslation } from "react-i18next";

import { lorasQuery } from "@/api/queries";
import type { LoraBody } from "@/api/types";
import { Panel } from "@/components/panel";
import { ProblemNote } from "@/components/problem-note";
import { useDraftField } from "@/lib/draft";

import { LoraRow } from "./lora-row";
import { useModel } from "./use-model";

/** What was trained on top of the model. */
export function LoraPanel() {
  const { t } = useTranslation("generate");
  const model = useModel();
  const library = useQuery(lorasQuery);
  const [uses, setUses] = useDraftField("loras");
  if (model === undefined) return null;
  const known = library.data?.loras ?? [];
  const left = known.filter(({ path }) => !uses.some((use) => use.name === path));
  const put = (name: string, next: LoraBody | null) =>
    setUses(uses.flatMap((use) => (use.name === name ? (next ?? []) : use)));
  return (
    <Panel label={t("lora.title")}>
      <Group justify="space-between" mb={uses.length > 0 ? "sm" : 0}>
        <div>
          <Text fw={600}>{t("lora.title")}</Text>
          {!model.takes_loras && uses.length > 0 && (
            <Text size="sm" c="var(--warn)">
              {t("lora.notTaken", { model: model.title })}
            </Text>
          )}
        </div>
        {left.length > 0 || known.length === 0 ? (
          known.length === 0 && library.isSuccess ? (
            <Text size="sm" component={Link} to="/loras" c="var(--accent)">
              {t("lora.none")}
            </Text>
          ) : (
            <Select
              aria-label={t("lora.add")}
              placeholder={t("lora.add")}
              searchable
              w={230}
              value={null}
              disabled={!model.takes_loras || !library.isSuccess}
              nothingFoundMessage={t("lora.nothing")}
              data={left.map(({ path, name, models }) => ({
                value: path,
                label: models.includes(model.id) ? name : t("lora.other", { name }),
              }))}
              onChange={(path) => path !== null && setUses([...uses, { name: path, strength: 1 }])}
            />
          )
        ) : null}
      </Group>
      {library.error && <ProblemNote error={library.error} retry={() => void library.refetch()} />}
      <Stack gap="sm">
        {uses.map((use) => (
          <LoraRow
            key={use.name}
            use={use}
            lora={known.find(({ path }) => path === use.name)}
            experts={model.experts}
            onChange={(next) => put(use.name, next)}
          />
        ))}
      </Stack>
    </Panel>
  );
}
