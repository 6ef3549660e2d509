import { ActionIcon, Group, SimpleGrid, Stack, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { X } from "lucide-react";
import { useTranslation } from "react-i18next";

import { hardwareQuery } from "@/api/queries";
import type { HardwareProfile } from "@/api/types";
import { Panel } from "@/components/panel";
import { useFormat } from "@/lib/use-format";

import { FirstVideo } from "./first-video";
import { RightModel } from "./right-model";
import { useWelcome } from "./use-welcome";

import classes from "./welcome.module.css";

/** The first steps: what the computer can do, a video at once, and the model to get for better ones. */
export function Welcome() {
  const { t } = useTranslation(["generate", "common"]);
  const show = useWelcome((store) => store.show);
  const hardware = useQuery(hardwareQuery).data;
  return (
    <Panel label={t("welcome.title")} className={classes.welcome}>
      <Stack gap="md">
        <Group justify="space-between" align="start" wrap="nowrap">
          <div>
            <Title order={2}>{t("welcome.title")}</Title>
            {hardware && <Computer hardware={hardware} />}
          </div>
          <ActionIcon
            variant="subtle"
            color="gray"
            size="lg"
            aria-label={t("common:close")}
            onClick={() => show(false)}
          >
            <X size={18} aria-hidden />
          </ActionIcon>
        </Group>
        <SimpleGrid cols={{ base: 1, sm: 3 }} spacing="sm">
          <FirstVideo />
          <RightModel from="text" />
          <RightModel from="image" />
        </SimpleGrid>
      </Stack>
    </Panel>
  );
}

function Computer({ hardware }: { hardware: HardwareProfile }) {
  const { t } = useTranslation("generate");
  const format = useFormat();
  const gib = (value: number) => format.memory(value * 1024);
  const gpu =
    hardware.gpu_model == null
      ? t("welcome.noGpu")
      : t("welcome.gpu", { gpu: hardware.gpu_model, memory: gib(hardware.vram_gb) });
  return (
    <Text size="sm" c="dimmed" mt={4} className="numbers">
      {[
        gpu,
        t("welcome.ram", { memory: gib(hardware.total_memory_gb) }),
        t("welcome.disk", { size: format.bytes(hardware.free_disk_gb * 1e9) }),
      ].join(" · ")}
    </Text>
  );
}
