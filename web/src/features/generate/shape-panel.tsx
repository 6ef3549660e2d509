import { Group, SimpleGrid, Slider, Stack, Text } from "@mantine/core";
import { useTranslation } from "react-i18next";

import { Panel } from "@/components/panel";
import { framesOf, useDraft, useDraftField } from "@/lib/draft";
import { framesFor, secondsOf } from "@/lib/sizes";
import { useFormat } from "@/lib/use-format";

import { ShapePicker } from "./shape-picker";
import { TierPicker } from "./tier-picker";
import { useModel } from "./use-model";
import { VariantPicker } from "./variant-picker";

/** How large, how long, how carefully. */
export function ShapePanel() {
  const { t } = useTranslation("generate");
  const model = useModel();
  if (model === undefined) return null;
  return (
    <Panel label={t("shape.title")}>
      <Stack gap="lg">
        <ShapePicker model={model} />
        <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="xl">
          <Length />
          <TierPicker />
        </SimpleGrid>
        <VariantPicker model={model} />
      </Stack>
    </Panel>
  );
}

function Length() {
  const { t } = useTranslation("generate");
  const format = useFormat();
  const model = useModel();
  const [seconds, setSeconds] = useDraftField("seconds");
  const frames = useDraft(({ draft }) => (model ? framesOf(draft, model) : 0));
  if (model === undefined) return null;
  const { fps, frames: usual } = model.defaults;
  const { frame_step: step, max_frames: most } = model.limits;
  const label = t("length.value", {
    seconds: format.number(secondsOf(model, frames), 1),
    count: frames,
  });
  return (
    <div>
      <Group justify="space-between" mb={8}>
        <Text size="sm" fw={600}>
          {t("length.label")}
        </Text>
        <Text size="sm" c="dimmed" className="numbers">
          {label}
        </Text>
      </Group>
      <Slider
        thumbLabel={t("length.label")}
        thumbProps={{ "aria-valuetext": label }}
        label={null}
        min={1 / fps}
        max={most / fps}
        step={step / fps}
        value={seconds ?? usual / fps}
        onChange={(value) => setSeconds(secondsOf(model, framesFor(model, value)))}
        marks={[{ value: usual / fps, label: t("length.usual") }]}
        mb="md"
      />
      {frames > usual && (
        <Text size="xs" c="var(--warn)">
          {t("length.beyond", { seconds: format.number(secondsOf(model, usual), 1) })}
        </Text>
      )}
    </div>
  );
}
