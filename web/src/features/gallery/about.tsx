import { Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";

import type { VideoView } from "@/api/types";
import { Facts } from "@/components/facts";
import { DemoBadge } from "@/components/demo-badge";
import { useFormat } from "@/lib/use-format";

import type gallery from "./locales/en.json";
import { rowsOf } from "./rows";
import { settingsQuery } from "./use-gallery";

/** Of the file; one that another version wrote may have more. */
type Setting = keyof typeof gallery.setting;

/** What a video is and how it was made. */
export function About({ video }: { video: VideoView }) {
  const { t } = useTranslation("gallery");
  const format = useFormat();
  const settings = useQuery(settingsQuery(video.id));
  const rows: [string, string | null][] = [
    [t("facts.model"), video.model],
    [t("facts.size"), `${video.width} × ${video.height}`],
    [t("facts.length"), t("facts.frames", { count: video.frames, fps: video.fps })],
    [t("facts.seed"), video.seed == null ? null : String(video.seed)],
    [t("facts.steps"), video.steps == null ? null : String(video.steps)],
    [t("facts.file"), `${video.filename} · ${format.bytes(video.file_size_mb * 1e6)}`],
    ...rowsOf(settings.data?.settings ?? {}).map(([name, value]): [string, string] => [
      t(`setting.${name as Setting}`, { defaultValue: name.replaceAll("_", " ") }),
      value,
    ]),
  ];
  return (
    <>
      <Text fw={600} mb={6} style={{ overflowWrap: "anywhere" }}>
        {video.prompt}
      </Text>
      {video.demo && <DemoBadge />}
      {video.replaces != null && (
        <Text size="sm" c="dimmed">
          {t("facts.replaces", { model: video.replaces })}
        </Text>
      )}
      <Facts rows={rows} />
    </>
  );
}
