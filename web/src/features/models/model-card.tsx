import { Badge, Group, Stack, Text, Title } from "@mantine/core";
import { Check, Download, TriangleAlert } from "lucide-react";
import { useTranslation } from "react-i18next";

import type { DownloadView, ModelView } from "@/api/types";
import { Facts } from "@/components/facts";
import { DemoBadge } from "@/components/demo-badge";
import { GoodAt } from "@/components/good-at";
import { Panel } from "@/components/panel";
import { useModelTexts } from "@/components/use-model-texts";
import { useFormat } from "@/lib/use-format";

import { anchorOf } from "./anchor";
import { Care } from "./care";
import { DownloadProgress } from "./download-progress";
import { GetModel } from "./get-model";
import { Measured } from "./measured";

import classes from "./models.module.css";

const MARKS = {
  ready: <Check size={12} aria-hidden />,
  missing: <Download size={12} aria-hidden />,
  unusable: <TriangleAlert size={12} aria-hidden />,
};
const COLORS = { ready: "teal", missing: "gray", unusable: "red" };

interface ModelCardProps {
  model: ModelView;
  /** The latest one, if there was any. */
  download: DownloadView | null;
}

/** One model: what it is, whether it works, and what can be done with its files. */
export function ModelCard({ model, download }: ModelCardProps) {
  const { t } = useTranslation("models");
  const going = download !== null && download.status !== "done" && download.status !== "cancelled";
  const files = model.variants.length > 0; // others are part of the program
  return (
    <Panel label={model.title} id={anchorOf(model.id)} className={classes.card}>
      <Stack gap="sm" h="100%">
        <Group gap={8}>
          <Title order={3}>{model.title}</Title>
          {model.demo && <DemoBadge />}
          <Badge color={COLORS[model.state]} leftSection={MARKS[model.state]} ml="auto">
            {t(`state.${model.state}`)}
          </Badge>
        </Group>
        <GoodAt model={model} />
        {model.problem != null && model.state === "unusable" && (
          <Text size="sm" c="var(--bad)" lang="en">
            {model.problem}
          </Text>
        )}
        <About model={model} />
        {model.state === "ready" && <Measured id={model.id} />}
        <Stack gap="sm" mt="auto">
          {going && <DownloadProgress title={model.title} download={download} />}
          {!going && files && model.state === "missing" && <GetModel model={model} />}
          {files && model.state !== "missing" && <Care model={model} />}
        </Stack>
      </Stack>
    </Panel>
  );
}

function About({ model }: { model: ModelView }) {
  const { t } = useTranslation("models");
  const { needs } = useModelTexts()(model);
  const format = useFormat();
  const inputs = model.inputs.map((input) =>
    t(`input.${input as "text" | "image" | "end_image"}`, { defaultValue: input }),
  );
  const rows: [string, string | null][] = [
    [t("facts.inputs"), inputs.join(", ") || null],
    [t("facts.needs"), needs],
    [t("facts.licence"), model.licence],
    [t("facts.repository"), model.repository ?? null],
    [t("facts.precision"), model.precision ?? null],
    [t("facts.size"), model.bytes == null ? null : format.bytes(model.bytes)],
  ];
  return <Facts rows={rows} />;
}
