import { Button, Group, Stack, Text } from "@mantine/core";
import { Pause, Play, X } from "lucide-react";
import { useTranslation } from "react-i18next";

import type { DownloadView } from "@/api/types";
import { FilmProgress } from "@/components/film-progress";
import { ProblemNote } from "@/components/problem-note";
import { useFailureTexts } from "@/components/use-failure-texts";
import { useFormat } from "@/lib/use-format";

import { useManage } from "./use-models";

interface DownloadProgressProps {
  /** Of the model. */
  title: string;
  download: DownloadView;
}

/** How far a download is, and how to stop it. What has arrived is kept in any case. */
export function DownloadProgress({ title, download }: DownloadProgressProps) {
  const { t } = useTranslation(["models", "common"]);
  const manage = useManage(download.model_id);
  const said = useFailureTexts();
  const busy = manage.isPending;
  return (
    <Stack gap={6}>
      <Group justify="space-between" gap="xs">
        <Text size="sm" fw={600}>
          {t(`download.${download.status}`)}
        </Text>
        <Text size="sm" className="numbers">
          {t("common:percent", { percent: Math.round(download.progress) })}
        </Text>
      </Group>
      <FilmProgress
        percent={download.progress}
        label={t("download.of", { model: title })}
        waiting={download.status === "waiting" || download.status === "verifying"}
      />
      <Figures download={download} />
      {download.error != null && (
        <div>
          <Text size="sm" c="var(--bad)">
            {said.title({ code: download.error_code ?? "", title: "" })}
          </Text>
          <Text size="xs" c="dimmed" lang="en">
            {download.error}
          </Text>
        </div>
      )}
      {download.note != null && (
        <Text size="xs" c="dimmed" lang="en">
          {download.note}
        </Text>
      )}
      {manage.error && <ProblemNote error={manage.error} />}
      <Group gap="xs">
        {download.can_pause && (
          <Button
            size="xs"
            variant="default"
            leftSection={<Pause size={14} aria-hidden />}
            disabled={busy}
            onClick={() => manage.mutate("pause")}
          >
            {t("download.pause")}
          </Button>
        )}
        {download.can_resume && (
          <Button
            size="xs"
            leftSection={<Play size={14} aria-hidden />}
            disabled={busy}
            onClick={() => manage.mutate("resume")}
          >
            {t("download.resume")}
          </Button>
        )}
        {download.can_cancel && (
          <Button
            size="xs"
            variant="subtle"
            color="gray"
            leftSection={<X size={14} aria-hidden />}
            disabled={busy}
            onClick={() => manage.mutate("cancel")}
          >
            {t("download.cancel")}
          </Button>
        )}
      </Group>
    </Stack>
  );
}

function Figures({ download }: { download: DownloadView }) {
  const { t } = useTranslation(["models", "common"]);
  const format = useFormat();
  const moves = download.status === "downloading";
  const parts = [
    download.total_bytes == null
      ? format.bytes(download.done_bytes)
      : t("common:received", {
          part: format.bytes(download.done_bytes),
          whole: format.bytes(download.total_bytes),
        }),
    moves && download.speed_mbps > 0
      ? t("download.speed", { speed: format.bytes(download.speed_mbps * 1e6) })
      : null,
    moves && download.eta_seconds != null
      ? t("common:left", { time: format.duration(download.eta_seconds) })
      : null,
  ];
  return (
    <Text size="xs" c="dimmed" className="numbers">
      {parts.filter((part) => part !== null).join(" · ")}
    </Text>
  );
}
