import { ActionIcon, Alert, Group, Tooltip } from "@mantine/core";
import { Repeat, StepBack, StepForward } from "lucide-react";
import { useState, type RefObject } from "react";
import { useTranslation } from "react-i18next";

import type { VideoView } from "@/api/types";
import { useShortcuts } from "@/lib/shortcuts";

import { afterSteps } from "./frames";

import classes from "./gallery.module.css";

interface PlayerProps {
  video: VideoView;
  screen: RefObject<HTMLVideoElement | null>;
}

/** Plays, and goes frame by frame. */
export function Player({ video, screen }: PlayerProps) {
  const { t } = useTranslation("gallery");
  const [loop, setLoop] = useState(true);
  const step = (frames: number) => {
    if (screen.current !== null) stepBy(screen.current, frames, video);
  };
  useShortcuts(t("player.title"), [
    { keys: ",", label: t("player.back"), run: () => step(-1) },
    { keys: ".", label: t("player.on"), run: () => step(1) },
    { keys: "l", label: t("player.loop"), run: () => setLoop(!loop) },
  ]);
  if (!video.exists) return <Alert color="red">{t("gone")}</Alert>;
  return (
    <div className={classes.screen}>
      <video
        key={video.id}
        ref={screen}
        src={video.video_url}
        poster={video.thumbnail_url ?? undefined}
        aria-label={video.prompt}
        controls
        autoPlay
        muted
        loop={loop}
        playsInline
      />
      <Group gap={4} mt="xs" justify="center">
        <Tool label={t("player.back")} run={() => step(-1)} icon={<StepBack size={18} />} />
        <Tool label={t("player.on")} run={() => step(1)} icon={<StepForward size={18} />} />
        <Tool
          label={t("player.loop")}
          pressed={loop}
          run={() => setLoop(!loop)}
          icon={<Repeat size={18} />}
        />
      </Group>
    </div>
  );
}

function stepBy(screen: HTMLVideoElement, steps: number, { fps, frames }: VideoView): void {
  screen.pause();
  screen.currentTime = afterSteps(screen.currentTime, steps, fps, frames);
}

interface ToolProps {
  label: string;
  run: () => void;
  icon: React.ReactNode;
  pressed?: boolean;
}

function Tool({ label, run, icon, pressed }: ToolProps) {
  return (
    <Tooltip label={label}>
      <ActionIcon
        size="lg"
        variant={pressed ? "light" : "subtle"}
        color="gray"
        aria-label={label}
        aria-pressed={pressed}
        onClick={run}
      >
        {icon}
      </ActionIcon>
    </Tooltip>
  );
}
