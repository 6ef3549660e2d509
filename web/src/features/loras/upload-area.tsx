import { Button, FileButton, Group, Stack, Text } from "@mantine/core";
import { Upload } from "lucide-react";
import { useState, type DragEvent } from "react";
import { useTranslation } from "react-i18next";

import { ProblemNote } from "@/components/problem-note";
import { Sending } from "@/components/sending";

import { useUpload } from "./use-loras";

import classes from "./loras.module.css";

/** Takes a LoRA that is dropped on it or chosen. */
export function UploadArea() {
  const { t } = useTranslation("loras");
  const upload = useUpload();
  const [over, setOver] = useState(false);
  const [percent, setPercent] = useState(0);
  const take = (file: File | null | undefined) => {
    if (!file || upload.isPending) return;
    setPercent(0);
    upload.mutate({ file, told: setPercent });
  };
  const onDrop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    take(event.dataTransfer.files[0]);
  };
  return (
    <Stack gap="sm">
      <div
        className={classes.drop}
        data-over={over || undefined}
        onDragOver={(event) => {
          if (!event.dataTransfer.types.includes("Files")) return;
          event.preventDefault();
          setOver(true);
        }}
        onDragLeave={() => setOver(false)}
        onDrop={onDrop}
      >
        <Group justify="center" gap="sm">
          <Text c="dimmed">{t("upload.hint")}</Text>
          <FileButton accept=".safetensors" onChange={take}>
            {(props) => (
              <Button
                {...props}
                leftSection={<Upload size={16} aria-hidden />}
                loading={upload.isPending}
              >
                {t("upload.choose")}
              </Button>
            )}
          </FileButton>
        </Group>
      </div>
      {upload.isPending && <Sending percent={percent} />}
      {upload.data && (
        <Text size="sm" role="status">
          {t("upload.done", { name: upload.data.name })}
        </Text>
      )}
      {upload.error && <ProblemNote error={upload.error} />}
    </Stack>
  );
}
