import { ActionIcon, Checkbox, Text } from "@mantine/core";
import { useReducedMotion } from "@mantine/hooks";
import { Link } from "@tanstack/react-router";
import { Heart } from "lucide-react";
import { memo, useState } from "react";
import { useTranslation } from "react-i18next";

import type { VideoView } from "@/api/types";
import { useFormat } from "@/lib/use-format";
import { useNow } from "@/lib/use-now";

import { useFavourite } from "./use-gallery";

import classes from "./gallery.module.css";

interface VideoCardProps {
  video: VideoView;
  chosen: boolean;
  onChoose: (video: VideoView) => void;
}

/** One video; it plays as long as one points at it. Drawn again only if it changes, however far one scrolls. */
export const VideoCard = memo(function VideoCard({ video, chosen, onChoose }: VideoCardProps) {
  const { t } = useTranslation(["gallery", "common"]);
  const format = useFormat();
  const now = useNow(30_000);
  const still = useReducedMotion();
  const favourite = useFavourite();
  const [over, setOver] = useState(false);
  const moving = over && !still && video.exists && video.frames > 1;
  return (
    <article
      className={classes.card}
      onPointerEnter={() => setOver(true)}
      onPointerLeave={() => setOver(false)}
    >
      <Link
        to="/gallery"
        search={(before) => ({ ...before, video: video.id })}
        className={classes.picture}
        aria-label={t("open", { prompt: video.prompt })}
        onFocus={() => setOver(true)}
        onBlur={() => setOver(false)}
      >
        {video.thumbnail_url != null && <img src={video.thumbnail_url} alt="" loading="lazy" />}
        {moving && <video src={video.video_url} muted loop autoPlay playsInline aria-hidden />}
        {video.demo && <span className={classes.tag}>{t("common:demo")}</span>}
      </Link>
      <Checkbox
        size="xs"
        className={classes.choose}
        data-on={chosen || undefined}
        checked={chosen}
        onChange={() => onChoose(video)}
        aria-label={t("compare.choose", { prompt: video.prompt })}
      />
      <ActionIcon
        className={classes.heart}
        data-on={video.favourite || undefined}
        variant="subtle"
        color="gray"
        aria-label={t("favourite", { prompt: video.prompt })}
        aria-pressed={video.favourite}
        onClick={() => favourite.mutate({ id: video.id, favourite: !video.favourite })}
      >
        <Heart size={16} fill={video.favourite ? "currentColor" : "none"} aria-hidden />
      </ActionIcon>
      <Text size="sm" fw={550} truncate mt={6}>
        {video.prompt}
      </Text>
      <Text size="xs" c="dimmed" truncate className="numbers">
        {video.exists
          ? `${video.model} · ${video.resolution} · ${format.ago(video.created_at, now)}`
          : t("gone")}
      </Text>
    </article>
  );
});
