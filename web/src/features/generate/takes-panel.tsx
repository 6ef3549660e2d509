import {
  ActionIcon,
  Group,
  NumberInput,
  SegmentedControl,
  SimpleGrid,
  Text,
  Tooltip,
} from "@mantine/core";
import { Dices, Lock, LockOpen } from "lucide-react";
import { useTranslation } from "react-i18next";

import { Panel } from "@/components/panel";
import { useDraftField } from "@/lib/draft";

const SEEDS = 2 ** 31;
const COUNTS = ["1", "2", "4", "8"];
const MOST = 64;

/** Chance: which one, and how many. */
export function TakesPanel() {
  const { t } = useTranslation("generate");
  const [seed, setSeed] = useDraftField("seed");
  const [count, setCount] = useDraftField("count");
  const roll = () => setSeed(Math.floor(Math.random() * SEEDS));
  const locked = seed !== null;
  return (
    <Panel label={t("takes.title")}>
      <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="xl">
        <Group align="end" gap="xs" wrap="nowrap">
          <NumberInput
            label={t("seed.label")}
            placeholder={t("seed.random")}
            value={seed ?? ""}
            onChange={(value) => setSeed(typeof value === "number" ? value : null)}
            min={0}
            max={Number.MAX_SAFE_INTEGER}
            allowDecimal={false}
            hideControls
            style={{ flex: 1 }}
          />
          <Tooltip label={t("seed.roll")}>
            <ActionIcon size={36} variant="default" aria-label={t("seed.roll")} onClick={roll}>
              <Dices size={17} aria-hidden />
            </ActionIcon>
          </Tooltip>
          <Tooltip label={t(locked ? "seed.unlock" : "seed.lock")}>
            <ActionIcon
              size={36}
              variant={locked ? "light" : "default"}
              aria-label={t(locked ? "seed.unlock" : "seed.lock")}
              aria-pressed={locked}
              onClick={() => (locked ? setSeed(null) : roll())}
            >
              {locked ? <Lock size={16} aria-hidden /> : <LockOpen size={16} aria-hidden />}
            </ActionIcon>
          </Tooltip>
        </Group>
        <div>
          <Text size="sm" fw={600} mb={4}>
            {t("count.label")}
          </Text>
          <Group gap="xs" wrap="nowrap">
            <SegmentedControl
              aria-label={t("count.label")}
              value={String(count)}
              onChange={(value) => setCount(Number(value))}
              data={COUNTS}
              style={{ flex: 1 }}
            />
            <NumberInput
              aria-label={t("count.other")}
              value={count}
              onChange={(value) => setCount(typeof value === "number" && value >= 1 ? value : 1)}
              min={1}
              max={MOST}
              clampBehavior="strict"
              allowDecimal={false}
              w={76}
            />
          </Group>
          {locked && count > 1 && (
            <Text size="xs" c="dimmed" mt={6}>
              {t("count.seeds")}
            </Text>
          )}
        </div>
      </SimpleGrid>
    </Panel>
  );
}
