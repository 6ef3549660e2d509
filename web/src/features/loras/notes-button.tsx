import { Button, Modal, Stack, Text, Textarea, TextInput } from "@mantine/core";
import { NotebookPen } from "lucide-react";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import type { LoraView } from "@/api/types";
import { ProblemNote } from "@/components/problem-note";

import { useDescribe } from "./use-loras";

/** Opens the notes on a LoRA, to be changed. */
export function NotesButton({ lora }: { lora: LoraView }) {
  const { t } = useTranslation(["loras", "common"]);
  const [opened, setOpened] = useState(false);
  return (
    <>
      <Button
        size="xs"
        variant="default"
        leftSection={<NotebookPen size={14} aria-hidden />}
        onClick={() => setOpened(true)}
      >
        {t("notes.button")}
      </Button>
      <Modal
        opened={opened}
        onClose={() => setOpened(false)}
        title={<Text fw={650}>{t("notes.title", { name: lora.name })}</Text>}
        closeButtonProps={{ "aria-label": t("common:close") }}
      >
        {opened && <NotesForm lora={lora} close={() => setOpened(false)} />}
      </Modal>
    </>
  );
}

function NotesForm({ lora, close }: { lora: LoraView; close: () => void }) {
  const { t } = useTranslation("loras");
  const describe = useDescribe(lora.name);
  const [words, setWords] = useState(lora.trigger_words.join(", "));
  const [notes, setNotes] = useState(lora.notes ?? "");
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        describe.mutate({ trigger_words: words.split(","), notes }, { onSuccess: close });
      }}
    >
      <Stack>
        <TextInput
          label={t("notes.words")}
          description={t("notes.wordsHelp")}
          value={words}
          onChange={(event) => setWords(event.currentTarget.value)}
          data-autofocus
        />
        <Textarea
          label={t("notes.text")}
          autosize
          minRows={4}
          maxRows={14}
          maxLength={4000}
          value={notes}
          onChange={(event) => setNotes(event.currentTarget.value)}
        />
        {describe.error && <ProblemNote error={describe.error} />}
        <Button type="submit" loading={describe.isPending} style={{ alignSelf: "end" }}>
          {t("notes.save")}
        </Button>
      </Stack>
    </form>
  );
}
