import { Button, CopyButton, Modal, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Check, Copy } from "lucide-react";
import { useTranslation } from "react-i18next";

import { jobEventsQuery } from "@/api/queries";
import type { JobEventView, TaskView } from "@/api/types";
import { QueryView } from "@/components/query-view";
import { asText, said } from "@/lib/job-log";
import { useFormat } from "@/lib/use-format";

import classes from "./job-log.module.css";

interface JobLogProps {
  task: Pick<TaskView, "id" | "prompt">;
  close: () => void;
}

/** Everything that happened to a job. */
export function JobLog({ task, close }: JobLogProps) {
  const { t } = useTranslation("common");
  const events = useQuery(jobEventsQuery(task.id));
  return (
    <Modal
      opened
      onClose={close}
      size="xl"
      title={<Text fw={650}>{t("log.title")}</Text>}
      closeButtonProps={{ "aria-label": t("close") }}
    >
      <Stack gap="sm">
        <Text size="sm" c="dimmed" lineClamp={2}>
          {task.prompt}
        </Text>
        <QueryView query={events}>
          {({ events: all }) =>
            all.length === 0 ? <Text size="sm">{t("log.empty")}</Text> : <Lines events={all} />
          }
        </QueryView>
      </Stack>
    </Modal>
  );
}

function Lines({ events }: { events: readonly JobEventView[] }) {
  const { t } = useTranslation("common");
  const { time } = useFormat();
  return (
    <>
      <ol className={`${classes.lines ?? ""} numbers`} lang="en">
        {events.map(({ seq, at, type, data }) => (
          <li key={seq} data-bad={type === "failed" || undefined}>
            <time dateTime={at}>{time(at)}</time>
            <strong>{type}</strong>
            <span>{said(data)}</span>
          </li>
        ))}
      </ol>
      <CopyButton value={asText(events)}>
        {({ copied, copy }) => (
          <Button
            size="sm"
            variant="default"
            style={{ alignSelf: "end" }}
            leftSection={copied ? <Check size={15} aria-hidden /> : <Copy size={15} aria-hidden />}
            onClick={copy}
          >
            {t(copied ? "log.copied" : "log.copy")}
          </Button>
        )}
      </CopyButton>
    </>
  );
}
