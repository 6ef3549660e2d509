import { Button, Select, Stack, Text } from "@mantine/core";
import { Download } from "lucide-react";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import type { ModelView } from "@/api/types";
import { useDownload } from "@/api/use-download";
import { ProblemNote } from "@/components/problem-note";
import { useFormat } from "@/lib/use-format";

/** Which form of a model to download, and how large it is. What suits the computer is chosen already. */
export function GetModel({ model }: { model: ModelView }) {
  const { t } = useTranslation("models");
  const format = useFormat();
  const download = useDownload(model.id);
  const suits = model.variants.find((variant) => variant.recommended) ?? model.variants[0];
  const [id, setId] = useState<string | null>(null);
  const chosen = model.variants.find((variant) => variant.id === id) ?? suits;
  if (chosen === undefined) return null;
  const size = chosen.bytes == null ? null : format.bytes(chosen.bytes);
  return (
    <Stack gap="xs">
      {model.variants.length > 1 && (
        <Select
          label={t("get.variant")}
          data={model.variants.map(({ id: value, title, bytes, recommended }) => ({
            value,
            label: [
              title,
              bytes == null ? null : format.bytes(bytes),
              recommended ? t("get.suits") : null,
            ]
              .filter((part) => part !== null)
              .join(" · "),
          }))}
          value={chosen.id}
          onChange={setId}
          allowDeselect={false}
        />
      )}
      {chosen.reason != null && (
        <Text size="xs" c="dimmed" lang="en">
          {chosen.reason}
        </Text>
      )}
      {download.error && <ProblemNote error={download.error} />}
      <Button
        leftSection={<Download size={16} aria-hidden />}
        loading={download.isPending}
        onClick={() => download.mutate(chosen.id)}
      >
        {size === null ? t("get.download") : t("get.downloadSize", { size })}
      </Button>
    </Stack>
  );
}
