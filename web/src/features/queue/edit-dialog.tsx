import {
  Button,
  Group,
  Modal,
  NumberInput,
  Select,
  SimpleGrid,
  Stack,
  Text,
  Textarea,
} from "@mantine/core";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import type { Changes, TaskView } from "@/api/types";
import { ProblemNote } from "@/components/problem-note";

import { useEdit } from "./use-queue";

interface Fields {
  prompt: string;
  negative: string;
  steps: number;
  seed: number | "";
  tier: string;
}

const fieldsOf = (task: TaskView): Fields => ({
  prompt: task.prompt,
  negative: task.negative_prompt ?? "",
  steps: task.steps,
  seed: task.seed ?? "",
  tier: task.tier,
});

/** What was changed, and nothing else. */
export function changesOf(before: Fields, after: Fields): Partial<Changes> {
  return {
    ...(after.prompt !== before.prompt && { prompt: after.prompt }),
    ...(after.negative !== before.negative && { negative_prompt: after.negative }),
    ...(after.steps !== before.steps && { steps: after.steps }),
    ...(after.seed !== before.seed && { seed: after.seed === "" ? null : after.seed }),
    ...(after.tier !== before.tier && { tier: after.tier === "fast" ? "fast" : "exact" }),
  };
}

/** Change what a job that waits will make. */
export function EditDialog({ task, close }: { task: TaskView; close: () => void }) {
  const { t } = useTranslation(["queue", "common"]);
  const edit = useEdit(task.id);
  const [before] = useState(() => fieldsOf(task));
  const [fields, setFields] = useState(before);
  const set = (changes: Partial<Fields>) => setFields({ ...fields, ...changes });
  const changes = changesOf(before, fields);
  return (
    <Modal
      opened
      onClose={close}
      size="lg"
      title={<Text fw={650}>{t("edit.title")}</Text>}
      closeButtonProps={{ "aria-label": t("common:close") }}
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          edit.mutate(changes, { onSuccess: close });
        }}
      >
        <Stack>
          <Textarea
            label={t("edit.prompt")}
            autosize
            minRows={3}
            value={fields.prompt}
            onChange={(event) => set({ prompt: event.currentTarget.value })}
            data-autofocus
          />
          <Textarea
            label={t("edit.negative")}
            autosize
            value={fields.negative}
            onChange={(event) => set({ negative: event.currentTarget.value })}
          />
          <SimpleGrid cols={{ base: 1, sm: 3 }}>
            <NumberInput
              label={t("edit.steps")}
              min={1}
              max={1000}
              allowDecimal={false}
              value={fields.steps}
              onChange={(value) => typeof value === "number" && set({ steps: value })}
            />
            <NumberInput
              label={t("edit.seed")}
              min={0}
              allowDecimal={false}
              hideControls
              value={fields.seed}
              onChange={(value) => set({ seed: typeof value === "number" ? value : "" })}
            />
            <Select
              label={t("edit.tier")}
              allowDeselect={false}
              value={fields.tier}
              onChange={(tier) => tier !== null && set({ tier })}
              data={["exact", "fast"].map((tier) => ({ value: tier, label: tier }))}
            />
          </SimpleGrid>
          {edit.error && <ProblemNote error={edit.error} />}
          <Group justify="end">
            <Button variant="default" onClick={close}>
              {t("common:cancel")}
            </Button>
            <Button
              type="submit"
              loading={edit.isPending}
              disabled={Object.keys(changes).length === 0 || fields.prompt.trim() === ""}
            >
              {t("edit.save")}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
