import { Button, Group, NumberInput, SegmentedControl, Stack, Switch, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import type { Optimization, OptimizationBody } from "@/api/types";
import { Panel } from "@/components/panel";
import { ProblemNote } from "@/components/problem-note";
import { QueryView } from "@/components/query-view";

import { limitsQuery, useSetLimits } from "./use-system";

/** What every plan obeys, from the next job on. */
export function Limits() {
  const limits = useQuery(limitsQuery);
  return (
    <QueryView query={limits}>
      {(data) => <Form key={JSON.stringify(data)} limits={data} />}
    </QueryView>
  );
}

function Form({ limits }: { limits: Optimization }) {
  const { t } = useTranslation("system");
  const save = useSetLimits();
  const [tier, setTier] = useState(limits.quantization === "int8" ? "fast" : "exact");
  const [offload, setOffload] = useState(limits.enable_offload);
  const [vram, setVram] = useState<number | "">(limits.vram_is_set ? limits.max_vram_usage_gb : "");
  const [tile, setTile] = useState<number | "">(limits.tile_is_set ? limits.vae_tile_size : "");
  const body: OptimizationBody = {
    ...(tier !== (limits.quantization === "int8" ? "fast" : "exact") && {
      quantization: tier === "fast" ? ("int8" as const) : ("bf16" as const),
    }),
    enable_offload: offload,
    max_vram_usage_gb: vram === "" ? null : vram,
    vae_tile_size: tile === "" ? null : tile,
  };
  const number = (value: string | number) => (typeof value === "number" ? value : "");
  return (
    <Panel>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          save.mutate(body);
        }}
      >
        <Stack>
          <div>
            <Text size="sm" fw={500} mb={4}>
              {t("limits.tier")}
            </Text>
            <SegmentedControl
              aria-label={t("limits.tier")}
              value={tier}
              onChange={setTier}
              data={[
                { value: "exact", label: t("limits.exact") },
                { value: "fast", label: t("limits.fast") },
              ]}
            />
            <Text size="xs" c="dimmed" mt={4}>
              {t("limits.tierAbout")}
            </Text>
          </div>
          <Switch
            label={t("limits.offload")}
            description={t("limits.offloadAbout")}
            checked={offload}
            onChange={(event) => setOffload(event.currentTarget.checked)}
          />
          <NumberInput
            label={t("limits.vram")}
            description={t("limits.vramAbout")}
            placeholder={t("limits.free")}
            suffix=" GiB"
            min={1}
            max={1024}
            decimalScale={1}
            value={vram}
            onChange={(value) => setVram(number(value))}
          />
          <NumberInput
            label={t("limits.tile")}
            description={t("limits.tileAbout")}
            placeholder={t("limits.free")}
            suffix=" px"
            min={128}
            max={512}
            step={16}
            allowDecimal={false}
            value={tile}
            onChange={(value) => setTile(number(value))}
          />
          {save.error && <ProblemNote error={save.error} />}
          <Group>
            <Button type="submit" loading={save.isPending}>
              {t("limits.save")}
            </Button>
          </Group>
        </Stack>
      </form>
    </Panel>
  );
}
