import { Accordion, Select, SimpleGrid } from "@mantine/core";
import { useTranslation } from "react-i18next";

import { HelpLabel } from "@/components/help-label";
import { useDraft, useDraftField } from "@/lib/draft";
import { useFormat } from "@/lib/use-format";

import { SettingNumber } from "./setting-number";
import { useModel } from "./use-model";

const SOLVERS = ["unipc", "dpm++", "euler"] as const;
const FALLBACKS = ["auto", "demo", "off"] as const;

/** Every dial that is not above, each with what it does; empty means the model's own value. */
export function MoreSettings() {
  const { t } = useTranslation("generate");
  const format = useFormat();
  const model = useModel();
  const [variant, setVariant] = useDraftField("variant");
  const [solver, setSolver] = useDraftField("solver");
  const [fallback, setFallback] = useDraftField("fallback");
  const changed = useDraft(
    ({ draft: d }) =>
      [
        d.steps,
        d.guidance,
        d.guidanceLow,
        d.shift,
        d.solver,
        d.stepCache,
        d.variant,
        d.fallback,
      ].filter((each) => each !== null).length,
  );
  if (model === undefined) return null;
  const { defaults, limits } = model;
  const label = (name: "solver" | "variant" | "fallback") => (
    <HelpLabel label={t(`more.${name}.label`)} help={t(`more.${name}.help`)} />
  );
  return (
    <Accordion keepMounted={false} variant="contained" radius="lg" chevronPosition="left">
      <Accordion.Item value="more">
        <Accordion.Control>
          {changed > 0 ? t("more.changed", { count: changed }) : t("more.title")}
        </Accordion.Control>
        <Accordion.Panel>
          <SimpleGrid cols={{ base: 1, sm: 2, lg: 3 }} spacing="md">
            <SettingNumber
              name="steps"
              usual={defaults.steps}
              min={1}
              max={limits.max_steps}
              step={1}
            />
            <SettingNumber
              name={model.experts > 1 ? "guidanceHigh" : "guidance"}
              field="guidance"
              usual={defaults.guidance}
              min={0}
              max={limits.max_guidance}
              step={0.5}
            />
            {model.experts > 1 && (
              <SettingNumber
                name="guidanceLow"
                usual={defaults.guidance_low}
                min={0}
                max={limits.max_guidance}
                step={0.5}
              />
            )}
            <SettingNumber
              name="shift"
              usual={defaults.shift}
              min={limits.min_shift}
              max={limits.max_shift}
              step={0.5}
            />
            <SettingNumber
              name="stepCache"
              usual={0}
              min={0}
              max={limits.max_step_cache}
              step={0.01}
            />
            <Select
              label={label("solver")}
              placeholder={defaults.solver}
              clearable
              value={solver}
              onChange={setSolver}
              data={SOLVERS.map((each) => ({ value: each, label: each }))}
            />
            {model.variants.length > 0 && (
              <Select
                label={label("variant")}
                placeholder={t("more.auto")}
                clearable
                value={variant}
                onChange={setVariant}
                data={model.variants.map(({ id, title, bytes }) => ({
                  value: id,
                  label: bytes == null ? title : `${title} · ${format.bytes(bytes)}`,
                }))}
              />
            )}
            <Select
              label={label("fallback")}
              placeholder={t("more.fallback.usual")}
              clearable
              value={fallback}
              onChange={setFallback}
              data={FALLBACKS.map((each) => ({ value: each, label: t(`more.fallback.${each}`) }))}
            />
          </SimpleGrid>
        </Accordion.Panel>
      </Accordion.Item>
    </Accordion>
  );
}
