import { Alert, Button, Group, Select, Stack, Text, TextInput } from "@mantine/core";
import { CircleCheck, FolderPlus, RefreshCw } from "lucide-react";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import type { AddedView, AddBody } from "@/api/types";
import { Panel } from "@/components/panel";
import { ProblemNote } from "@/components/problem-note";

import { useAddFiles, useLookAgain } from "./use-models";

const UNSAID = "";
const ROLES = ["high", "low", "only"] as const;
type Role = (typeof ROLES)[number];

/** Takes models that are already on the computer, where they lie. */
export function AddFiles() {
  const { t } = useTranslation("models");
  const add = useAddFiles();
  const look = useLookAgain();
  const [path, setPath] = useState("");
  const [role, setRole] = useState<Role | null>(null);
  const body: AddBody = { path, ...(role !== null && { role }) };
  return (
    <Panel>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          add.mutate(body);
        }}
      >
        <Stack gap="sm">
          <Text size="sm" c="dimmed">
            {t("add.about")}
          </Text>
          <Group align="end" gap="sm">
            <TextInput
              label={t("add.path")}
              placeholder="/home/me/ComfyUI/models"
              value={path}
              onChange={(event) => setPath(event.currentTarget.value)}
              flex="1 1 18rem"
              spellCheck={false}
              autoComplete="off"
            />
            <Select
              label={t("add.role")}
              data={[
                { value: UNSAID, label: t("add.roles.unsaid") },
                ...ROLES.map((value) => ({ value, label: t(`add.roles.${value}`) })),
              ]}
              value={role ?? UNSAID}
              onChange={(value) => setRole(ROLES.find((each) => each === value) ?? null)}
              allowDeselect={false}
              w={{ base: "100%", sm: 240 }}
            />
            <Button
              type="submit"
              leftSection={<FolderPlus size={16} aria-hidden />}
              disabled={path.trim() === ""}
              loading={add.isPending}
            >
              {t("add.deed")}
            </Button>
            <Button
              variant="subtle"
              leftSection={<RefreshCw size={16} aria-hidden />}
              loading={look.isPending}
              onClick={() => look.mutate()}
            >
              {t("add.look")}
            </Button>
          </Group>
          {add.data && <Found added={add.data} />}
          {add.error && <ProblemNote error={add.error} />}
          {look.error && <ProblemNote error={look.error} />}
        </Stack>
      </form>
    </Panel>
  );
}

function Found({ added }: { added: AddedView }) {
  const { t } = useTranslation("models");
  return (
    <Alert role="status" color="teal" icon={<CircleCheck size={18} aria-hidden />}>
      <Text size="sm" c="var(--text)">
        {added.ready.length > 0
          ? t("add.ready", { models: added.ready.join(", ") })
          : t("add.found", { count: added.found.length })}
      </Text>
      <Text size="xs" c="dimmed" lang="en">
        {added.found.join(" · ")}
      </Text>
    </Alert>
  );
}
