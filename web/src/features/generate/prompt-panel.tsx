import { Button, Group, Stack, Textarea } from "@mantine/core";
import { Ban } from "lucide-react";
import { useTranslation } from "react-i18next";

import { Panel } from "@/components/panel";
import { useDraftField } from "@/lib/draft";

import { Enhancer } from "./enhancer";
import { PromptExamples } from "./prompt-examples";
import { PromptLength } from "./prompt-length";
import { StylesMenu } from "./styles-menu";
import { useModel } from "./use-model";

import classes from "./prompt-panel.module.css";

/** What the video shows, and what it does not. */
export function PromptPanel() {
  const { t } = useTranslation("generate");
  const model = useModel();
  const [prompt, setPrompt] = useDraftField("prompt");
  const [negative, setNegative] = useDraftField("negative");
  return (
    <Panel className={classes.panel}>
      <Stack gap="sm">
        <Textarea
          label={t("prompt.label")}
          placeholder={t("prompt.placeholder")}
          autosize
          minRows={3}
          maxRows={14}
          variant="unstyled"
          classNames={{ input: classes.prompt, label: classes.label }}
          value={prompt}
          onChange={(event) => setPrompt(event.currentTarget.value)}
          data-autofocus
        />
        {prompt === "" && <PromptExamples demo={model?.demo ?? true} />}
        <Group justify="space-between" gap="xs">
          <Group gap={4}>
            <Enhancer />
            <StylesMenu />
            <Button
              variant="subtle"
              size="compact-sm"
              color="gray"
              aria-expanded={negative !== null}
              leftSection={<Ban size={15} aria-hidden />}
              onClick={() =>
                setNegative(negative === null ? (model?.defaults.negative_prompt ?? "") : null)
              }
            >
              {t(negative === null ? "negative.add" : "negative.reset")}
            </Button>
          </Group>
          <PromptLength />
        </Group>
        {negative !== null && (
          <Textarea
            label={t("negative.label")}
            description={t("negative.help")}
            autosize
            minRows={2}
            maxRows={8}
            value={negative}
            onChange={(event) => setNegative(event.currentTarget.value)}
          />
        )}
      </Stack>
    </Panel>
  );
}
