import { Alert, Button, Group, List, Stack, Text } from "@mantine/core";
import { CircleCheck, ShieldCheck, Trash2, TriangleAlert, Wrench } from "lucide-react";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import type { ModelView, Verified } from "@/api/types";
import { ProblemNote } from "@/components/problem-note";

import { DeleteDialog } from "./delete-dialog";
import { useRepair, useVerify } from "./use-models";

/** What can be done with the files of a model that is here. */
export function Care({ model }: { model: ModelView }) {
  const { t } = useTranslation("models");
  const verify = useVerify(model.id);
  const repair = useRepair(model.id);
  const [leaving, setLeaving] = useState(false);
  const error = verify.error ?? repair.error;
  return (
    <Stack gap="xs">
      {verify.data && <Findings found={verify.data} />}
      {repair.data && (
        <Text size="sm" role="status">
          {repair.data.repaired.length === 0
            ? t("care.nothing")
            : t("care.repairing", { count: repair.data.repaired.length })}
        </Text>
      )}
      {error && <ProblemNote error={error} />}
      <Group gap="xs">
        <Button
          size="xs"
          variant="default"
          leftSection={<ShieldCheck size={14} aria-hidden />}
          loading={verify.isPending}
          disabled={repair.isPending}
          onClick={() => verify.mutate()}
        >
          {t("care.verify")}
        </Button>
        <Button
          size="xs"
          variant={model.state === "unusable" ? "filled" : "default"}
          leftSection={<Wrench size={14} aria-hidden />}
          loading={repair.isPending}
          disabled={verify.isPending}
          onClick={() => repair.mutate(undefined, { onSuccess: () => verify.reset() })}
        >
          {t("care.repair")}
        </Button>
        <Button
          size="xs"
          variant="subtle"
          color="red"
          leftSection={<Trash2 size={14} aria-hidden />}
          onClick={() => setLeaving(true)}
        >
          {t("care.delete")}
        </Button>
      </Group>
      {leaving && <DeleteDialog model={model} close={() => setLeaving(false)} />}
    </Stack>
  );
}

function Findings({ found }: { found: Verified }) {
  const { t } = useTranslation("models");
  const faults = found.details.flatMap((detail) => detail.faults);
  return (
    <Alert
      role="status"
      color={found.is_valid ? "teal" : "red"}
      icon={
        found.is_valid ? (
          <CircleCheck size={18} aria-hidden />
        ) : (
          <TriangleAlert size={18} aria-hidden />
        )
      }
    >
      <Text size="sm" c="var(--text)">
        {t(found.is_valid ? "care.valid" : "care.damaged")}
      </Text>
      {faults.length > 0 && (
        <List size="xs" mt={4} c="var(--text)">
          {faults.map(({ file, problem }) => (
            <List.Item key={`${file} ${problem}`}>{`${file}: ${problem}`}</List.Item>
          ))}
        </List>
      )}
    </Alert>
  );
}
