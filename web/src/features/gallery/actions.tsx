import { Button, Group } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { Download, Dices, ImagePlay, RotateCcw, Trash2 } from "lucide-react";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { upload } from "@/api/files";
import { modelsQuery } from "@/api/queries";
import type { VideoView } from "@/api/types";
import { fromRequest, useDraft } from "@/lib/draft";

import { lastFrame } from "./frames";
import { REGRET, settingsQuery, useDelete, useVary } from "./use-gallery";

interface ActionsProps {
  video: VideoView;
  /** The video is not looked at any more. */
  onLeave: () => void;
}

/** What can be done with a video. */
export function Actions({ video, onLeave }: ActionsProps) {
  const { t } = useTranslation(["gallery", "common"]);
  const navigate = useNavigate();
  const models = useQuery(modelsQuery);
  const settings = useQuery(settingsQuery(video.id));
  const vary = useVary();
  const remove = useDelete();
  const [busy, setBusy] = useState(false);

  const reuse = () => {
    const request = settings.data?.request;
    if (!request || !models.data) return;
    useDraft.getState().replace(fromRequest(request, models.data.models));
    void navigate({ to: "/" });
  };
  const goOn = async () => {
    setBusy(true);
    try {
      const image = await upload(await lastFrame(video.video_url, video.fps, video.frames));
      useDraft.getState().change({ image, endImage: null });
      await navigate({ to: "/" });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      notifications.show({ color: "red", title: t("actions.noFrame"), message });
    }
    setBusy(false);
  };
  const leave = () => {
    const undo = remove(video.id);
    onLeave();
    const id = `delete-${video.id}`;
    notifications.show({
      id,
      autoClose: REGRET,
      message: (
        <Group justify="space-between">
          {t("actions.deleted")}
          <Button
            size="compact-sm"
            variant="default"
            onClick={() => {
              undo();
              notifications.hide(id);
            }}
          >
            {t("common:undo")}
          </Button>
        </Group>
      ),
    });
  };
  return (
    <Group gap="xs" mt="lg">
      <Button
        leftSection={<RotateCcw size={16} aria-hidden />}
        disabled={!settings.data?.request || !models.data}
        onClick={reuse}
      >
        {t("actions.reuse")}
      </Button>
      <Button
        variant="default"
        leftSection={<Dices size={16} aria-hidden />}
        loading={vary.isPending}
        onClick={() =>
          vary.mutate(video.id, {
            onSuccess: () => notifications.show({ color: "teal", message: t("actions.varied") }),
          })
        }
      >
        {t("actions.vary")}
      </Button>
      <Button
        variant="default"
        leftSection={<ImagePlay size={16} aria-hidden />}
        loading={busy}
        disabled={!video.exists}
        onClick={() => void goOn()}
      >
        {t("actions.goOn")}
      </Button>
      <Button
        variant="default"
        component="a"
        href={video.download_url}
        download={video.filename}
        leftSection={<Download size={16} aria-hidden />}
      >
        {t("actions.download")}
      </Button>
      <Button
        variant="subtle"
        color="red"
        leftSection={<Trash2 size={16} aria-hidden />}
        onClick={leave}
      >
        {t("actions.delete")}
      </Button>
    </Group>
  );
}
