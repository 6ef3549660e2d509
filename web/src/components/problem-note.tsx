import { Alert, Button, Group, List, Text } from "@mantine/core";
import { TriangleAlert } from "lucide-react";
import { useTranslation } from "react-i18next";

import { ApiError } from "@/api/client";
import type { Action } from "@/api/types";
import { useFailureTexts } from "@/components/use-failure-texts";

interface ProblemNoteProps {
  error: Error;
  retry?: () => void;
  /** Do what the server suggests; without it, suggestions are shown as text. */
  act?: (action: Action) => void;
}

/** What went wrong, and what can be done: of known codes in the user's language, with the server's own words. */
export function ProblemNote({ error, retry, act }: ProblemNoteProps) {
  const { t } = useTranslation("common");
  const said = useFailureTexts();
  const problem = error instanceof ApiError ? error.problem : null;
  const unreachable = problem?.code === "UNREACHABLE";
  const actions = act === undefined ? [] : (problem?.actions ?? []).filter((each) => each.change);
  const texts = (problem?.suggestions ?? []).filter(
    (text) => !actions.some((action) => action.text === text),
  );
  const { message } = error;
  const title = said.title({ code: problem?.code ?? "", title: message });
  return (
    <Alert role="alert" color="red" variant="light" icon={<TriangleAlert size={18} aria-hidden />}>
      <Text size="sm" fw={600} c="var(--text)">
        {unreachable ? t("error.unreachable") : title}
      </Text>
      {!unreachable && title !== message && (
        <Text size="sm" c="var(--text)">
          {message}
        </Text>
      )}
      {texts.length > 0 && (
        <List size="sm" mt={6} c="var(--text)">
          {texts.map((text) => (
            <List.Item key={text}>{text}</List.Item>
          ))}
        </List>
      )}
      {(retry !== undefined || actions.length > 0) && (
        <Group gap="xs" mt="sm">
          {actions.map((action) => (
            <Button key={action.text} size="xs" variant="default" onClick={() => act?.(action)}>
              {said.label(action)}
            </Button>
          ))}
          {retry !== undefined && (
            <Button size="xs" variant="default" onClick={retry}>
              {t("error.again")}
            </Button>
          )}
        </Group>
      )}
    </Alert>
  );
}
