import { Badge, Group, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";

import { healthQuery, modelsQuery } from "@/api/queries";
import type { Models } from "@/api/types";
import { Facts } from "@/components/facts";
import { Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { useFormat } from "@/lib/use-format";

const loaded = ({ models }: Models) => models.filter((model) => model.loaded);

/** Who works, and which models wait in memory for the next job. */
export function AtWork() {
  const { t } = useTranslation("system");
  const format = useFormat();
  const health = useQuery(healthQuery);
  const warm = useQuery({ ...modelsQuery, select: loaded }).data ?? [];
  return (
    <QueryView query={health}>
      {({ workers, active_tasks: jobs, queue_paused: paused, uptime, version }) => (
        <Panel>
          <Facts
            rows={[
              [t("work.workers"), format.number(workers)],
              [t("work.jobs"), paused ? t("work.paused") : format.number(jobs)],
              [t("work.uptime"), format.duration(uptime)],
              [t("work.version"), version],
            ]}
          />
          <Group gap="xs" mt="sm">
            <Text size="sm" c="dimmed">
              {t("work.loaded")}
            </Text>
            {warm.length === 0 && <Text size="sm">{t("work.nothing")}</Text>}
            {warm.map(({ id, title }) => (
              <Badge key={id} color="teal">
                {title}
              </Badge>
            ))}
          </Group>
        </Panel>
      )}
    </QueryView>
  );
}
