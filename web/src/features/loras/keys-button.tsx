import { Button, Modal, Select, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { ListChecks } from "lucide-react";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { modelsQuery } from "@/api/queries";
import type { LoraView } from "@/api/types";

import { Keys } from "./keys";

/** Opens what a LoRA changes in a model that can be chosen. */
export function KeysButton({ lora }: { lora: LoraView }) {
  const { t } = useTranslation(["loras", "common"]);
  const [opened, setOpened] = useState(false);
  const [chosen, setChosen] = useState<string | null>(null);
  const takers = (useQuery(modelsQuery).data?.models ?? []).filter((model) => model.takes_loras);
  const fitting = takers.filter((model) => lora.models.includes(model.id));
  const model = chosen ?? (fitting.find(({ state }) => state === "ready") ?? takers[0])?.id;
  return (
    <>
      <Button
        size="xs"
        variant="default"
        leftSection={<ListChecks size={14} aria-hidden />}
        onClick={() => setOpened(true)}
      >
        {t("keys.button")}
      </Button>
      <Modal
        opened={opened}
        onClose={() => setOpened(false)}
        size="lg"
        title={<Text fw={650}>{t("keys.title", { name: lora.name })}</Text>}
        closeButtonProps={{ "aria-label": t("common:close") }}
      >
        <Stack>
          {model === undefined ? (
            <Text>{t("keys.none")}</Text>
          ) : (
            <>
              <Select
                label={t("keys.model")}
                data={takers.map(({ id, title }) => ({ value: id, label: title }))}
                value={model}
                onChange={setChosen}
                allowDeselect={false}
              />
              <Keys lora={lora.name} model={model} />
            </>
          )}
        </Stack>
      </Modal>
    </>
  );
}
