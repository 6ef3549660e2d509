import { Badge, Group, Radio, Skeleton, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Check, Cpu, Download, Shuffle, TriangleAlert } from "lucide-react";
import { useTranslation } from "react-i18next";

import { planQuery } from "@/api/queries";
import type { ModelView, PlanView } from "@/api/types";
import { DemoBadge } from "@/components/demo-badge";
import { GoodAt } from "@/components/good-at";
import { useFormat } from "@/lib/use-format";

import { qualityOf, type Quality } from "./quality";

import classes from "./model-card.module.css";

type Fit = "fits" | "streams" | "cpu" | "tooLarge";
const MARKS = {
  fits: <Check size={12} aria-hidden />,
  streams: <Shuffle size={12} aria-hidden />,
  cpu: <Cpu size={12} aria-hidden />,
  tooLarge: <TriangleAlert size={12} aria-hidden />,
};
const COLORS = { fits: "teal", streams: "blue", cpu: "gray", tooLarge: "red" };

function fitOf(plan: PlanView, model: ModelView): Fit {
  if (plan.device === "cpu" && !model.demo) return "cpu";
  if (!plan.fits) return "tooLarge";
  return plan.streamed_blocks > 0 ? "streams" : "fits";
}

/** One model: what it is good at, and whether, how fast and how well it works here. */
export function ModelCard({ model, image }: { model: ModelView; image: boolean }) {
  const { t } = useTranslation("generate");
  const format = useFormat();
  const plan = useQuery(planQuery({ model_type: model.id, image }));
  const fit = plan.data && fitOf(plan.data, model);
  const quality = ({ name, ...values }: Quality) =>
    t(`quality.${name}`, {
      ...values,
      ...("psnr" in values && { psnr: format.number(values.psnr, 1) }),
    });
  return (
    <Radio.Card value={model.id} className={classes.card}>
      <Group wrap="nowrap" align="start" gap="sm">
        <Radio.Indicator mt={3} />
        <div style={{ minWidth: 0, flex: 1 }}>
          <Group gap={6}>
            <Text fw={600}>{model.title}</Text>
            {model.demo && <DemoBadge />}
          </Group>
          <GoodAt model={model} />
          <Group gap={6} mt={8}>
            {plan.isPending && <Skeleton height={20} width={120} radius="xl" />}
            {fit && (
              <Badge color={COLORS[fit]} leftSection={MARKS[fit]}>
                {t(`fit.${fit}`)}
              </Badge>
            )}
            {plan.data?.download_bytes != null && (
              <Badge color="gray" leftSection={<Download size={12} aria-hidden />}>
                {t("fit.download", { size: format.bytes(plan.data.download_bytes) })}
              </Badge>
            )}
            {plan.data && fit !== "cpu" && (
              <Text size="xs" c="dimmed" className="numbers">
                {t("fit.takes", { time: format.duration(plan.data.seconds) })}
              </Text>
            )}
          </Group>
          {plan.data && (
            <Text size="xs" c="dimmed" mt={6}>
              {qualityOf(model, plan.data).map(quality).join("; ")}
            </Text>
          )}
        </div>
      </Group>
    </Radio.Card>
  );
}
