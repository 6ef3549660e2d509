import { Button, Modal, SimpleGrid, Stack, Text, Textarea } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { Sparkles } from "lucide-react";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { api, unwrap } from "@/api/client";
import { ProblemNote } from "@/components/problem-note";
import { useDraft, useDraftField } from "@/lib/draft";

const OPTIONS = { apply_cinematic: true, apply_style: true, use_rules: false };

/** Makes the prompt longer, and shows before and after; nothing changes unless the user takes it. */
export function Enhancer() {
  const { t } = useTranslation(["generate", "common"]);
  const empty = useDraft(({ draft }) => draft.prompt.trim() === "");
  const [prompt, setPrompt] = useDraftField("prompt");
  const [text, setText] = useState<string | null>(null);
  const enhance = useMutation({
    mutationFn: (before: string) =>
      unwrap(api.POST("/api/v1/prompt/enhance", { body: { prompt: before, options: OPTIONS } })),
    onSuccess: (found) => setText(found.enhanced_prompt),
  });
  const close = () => {
    setText(null);
    enhance.reset();
  };
  return (
    <>
      <Button
        variant="subtle"
        size="compact-sm"
        leftSection={<Sparkles size={15} aria-hidden />}
        disabled={empty}
        loading={enhance.isPending}
        onClick={() => enhance.mutate(prompt)}
      >
        {t("enhance.button")}
      </Button>
      <Modal
        opened={text !== null || enhance.isError}
        onClose={close}
        size="xl"
        title={<Text fw={650}>{t("enhance.title")}</Text>}
        closeButtonProps={{ "aria-label": t("common:close") }}
      >
        <Stack>
          {enhance.error && (
            <ProblemNote error={enhance.error} retry={() => enhance.mutate(prompt)} />
          )}
          {text !== null && (
            <SimpleGrid cols={{ base: 1, sm: 2 }}>
              <Textarea label={t("enhance.before")} value={prompt} readOnly autosize minRows={4} />
              <Textarea
                label={t("enhance.after")}
                value={text}
                autosize
                minRows={4}
                data-autofocus
                onChange={(event) => setText(event.currentTarget.value)}
              />
            </SimpleGrid>
          )}
          {enhance.data && (
            <Text size="sm" c="dimmed">
              {enhance.data.enhancements_applied.length > 0
                ? t("enhance.by", { names: enhance.data.enhancements_applied.join(", ") })
                : t("enhance.nothing")}
            </Text>
          )}
          <Button
            style={{ alignSelf: "end" }}
            disabled={text === null}
            onClick={() => {
              if (text !== null) setPrompt(text);
              close();
            }}
          >
            {t("enhance.take")}
          </Button>
        </Stack>
      </Modal>
    </>
  );
}
