import { Text } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useQueryClient } from "@tanstack/react-query";
import { ImageDown } from "lucide-react";
import { useEffect, useEffectEvent, useState, type DragEvent, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { sendFile, upload, type Told } from "@/api/files";
import { modelsQuery } from "@/api/queries";
import type { Models } from "@/api/types";
import { fromRequest, useDraft, type Draft } from "@/lib/draft";

import classes from "./file-drop.module.css";

interface FileDropProps {
  /** The file is in the form. */
  onTaken?: () => void;
  children: ReactNode;
}

/** Takes files wherever they are dropped or pasted: pictures to begin or end with, videos whose settings come back. */
export function FileDrop({ onTaken, children }: FileDropProps) {
  const { t } = useTranslation("common");
  const client = useQueryClient();
  const [over, setOver] = useState(false);

  const take = async (file: File) => {
    const id = notifications.show({ message: file.name, loading: true, autoClose: false });
    const told = (percent: number) => {
      const message = t("drop.sending", { name: file.name, percent });
      notifications.update({ id, message, loading: true, autoClose: false });
    };
    try {
      if (file.type.startsWith("video/")) {
        const draft = await settingsOf(
          file,
          client.query({ ...modelsQuery, staleTime: "static" }),
          told,
        );
        if (draft === null) throw new Error(t("drop.noSettings"));
        useDraft.getState().replace(draft);
        notifications.show({ color: "teal", message: t("drop.restored") });
      } else {
        const kept = await upload(file, told);
        const { draft, change } = useDraft.getState();
        change(draft.image === null ? { image: kept } : { endImage: kept });
      }
      onTaken?.();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      notifications.show({ color: "red", title: t("drop.failed"), message });
    } finally {
      notifications.hide(id);
    }
  };

  const onPaste = useEffectEvent((event: ClipboardEvent) => {
    const file = [...(event.clipboardData?.files ?? [])].find(isMedia);
    if (file === undefined) return;
    event.preventDefault();
    void take(file);
  });
  useEffect(() => {
    const listener = (event: ClipboardEvent) => onPaste(event);
    window.addEventListener("paste", listener);
    return () => window.removeEventListener("paste", listener);
  }, []);

  const onDrop = (event: DragEvent) => {
    setOver(false);
    const file = [...event.dataTransfer.files].find(isMedia);
    if (file === undefined) return;
    event.preventDefault();
    void take(file);
  };
  const hasFiles = (event: DragEvent) => event.dataTransfer.types.includes("Files");
  return (
    <div
      className={classes.area}
      onDragOver={(event) => {
        if (!hasFiles(event)) return;
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={(event) => {
        if (!event.currentTarget.contains(event.relatedTarget as Node | null)) setOver(false);
      }}
      onDrop={onDrop}
    >
      {children}
      {over && (
        <div className={classes.veil}>
          <ImageDown size={40} strokeWidth={1.5} aria-hidden />
          <Text fw={600}>{t("drop.here")}</Text>
        </div>
      )}
    </div>
  );
}

/**
 * What a video was made with; null if it does not say. Throws ApiError for what is no video.
 *
 * The models are waited for: how long so many frames last is known only of a model.
 */
async function settingsOf(
  file: Blob,
  models: Promise<Models>,
  told: Told,
): Promise<Partial<Draft> | null> {
  const [found, known] = await Promise.all([
    sendFile("/api/v1/outputs/settings", file, told),
    models,
  ]);
  return found.request ? fromRequest(found.request, known.models) : null;
}

function isMedia(file: File): boolean {
  return file.type.startsWith("image/") || file.type.startsWith("video/");
}
