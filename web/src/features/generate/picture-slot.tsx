import { ActionIcon, FileButton, Loader, Text, UnstyledButton } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { Crop, ImagePlus, X } from "lucide-react";
import { lazy, Suspense, useState } from "react";
import { useTranslation } from "react-i18next";

import { upload } from "@/api/files";
import type { PictureView } from "@/api/types";
import { fetched } from "@/lib/fetched";

import classes from "./pictures-panel.module.css";

const CropDialog = lazy(
  fetched(() => import("./crop-dialog").then(({ CropDialog: each }) => ({ default: each }))),
);

interface PictureSlotProps {
  label: string;
  picture: PictureView | null;
  onChange: (picture: PictureView | null) => void;
}

/** A place for one picture: empty, on its way, or filled. */
export function PictureSlot({ label, picture, onChange }: PictureSlotProps) {
  const { t } = useTranslation("generate");
  const [cropping, setCropping] = useState(false);
  const [percent, setPercent] = useState(0);
  const send = useMutation({
    mutationFn: (file: Blob) => upload(file, setPercent),
    onMutate: () => setPercent(0),
    onSuccess: onChange,
  });
  if (picture === null) {
    return (
      <FileButton
        accept="image/png,image/jpeg,image/webp"
        onChange={(file) => file && send.mutate(file)}
      >
        {(props) => (
          <UnstyledButton
            {...props}
            className={classes.slot}
            aria-label={t("pictures.choose", { label })}
          >
            {send.isPending ? (
              <Loader size="sm" />
            ) : (
              <ImagePlus size={22} strokeWidth={1.6} aria-hidden />
            )}
            <Text size="sm" fw={550} c="var(--text)">
              {label}
            </Text>
            <Text size="xs" role={send.isError ? "alert" : undefined}>
              {send.error?.message ??
                t(send.isPending ? "pictures.sending" : "pictures.hint", { percent })}
            </Text>
          </UnstyledButton>
        )}
      </FileButton>
    );
  }
  return (
    <div className={classes.slot} data-filled>
      <img
        className={classes.picture}
        src={picture.url}
        alt={label}
        onError={() => onChange(null)} // the server no longer has it
      />
      <span className={`${classes.caption ?? ""} numbers`}>
        {label} · {picture.width}×{picture.height}
      </span>
      <div className={classes.tools}>
        <ActionIcon
          variant="default"
          aria-label={t("pictures.crop", { label })}
          onClick={() => setCropping(true)}
        >
          <Crop size={15} aria-hidden />
        </ActionIcon>
        <ActionIcon
          variant="default"
          aria-label={t("pictures.remove", { label })}
          onClick={() => onChange(null)}
        >
          <X size={16} aria-hidden />
        </ActionIcon>
      </div>
      {cropping && (
        <Suspense>
          <CropDialog
            picture={picture}
            close={() => setCropping(false)}
            take={(blob) => {
              send.mutate(blob);
              setCropping(false);
            }}
          />
        </Suspense>
      )}
    </div>
  );
}
