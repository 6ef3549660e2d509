import { ActionIcon, Group, Modal, Slider, Text } from "@mantine/core";
import { Pause, Play } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";

import type { VideoView } from "@/api/types";

import classes from "./gallery.module.css";

const DRIFT = 0.04; // seconds that one may be ahead of the other

interface ComparisonProps {
  videos: readonly [VideoView, VideoView];
  onClose: () => void;
}

/** Two videos side by side, at the same moment. */
export function Comparison({ videos, onClose }: ComparisonProps) {
  const { t } = useTranslation(["gallery", "common"]);
  const left = useRef<HTMLVideoElement>(null);
  const right = useRef<HTMLVideoElement>(null);
  const [playing, setPlaying] = useState(true);
  const [moment, setMoment] = useState(0);
  const lasts = Math.min(...videos.map((video) => video.frames / video.fps));

  useEffect(() => {
    let frame = requestAnimationFrame(function together() {
      const [a, b] = [left.current, right.current];
      if (a && b) {
        if (a.currentTime >= lasts) a.currentTime = 0;
        if (Math.abs(a.currentTime - b.currentTime) > DRIFT) b.currentTime = a.currentTime;
        setMoment(a.currentTime);
      }
      frame = requestAnimationFrame(together);
    });
    return () => cancelAnimationFrame(frame);
  }, [lasts]);

  const both = (act: (video: HTMLVideoElement) => unknown) => {
    for (const { current } of [left, right]) if (current) act(current);
  };
  return (
    <Modal
      opened
      onClose={onClose}
      size="90rem"
      title={t("compare.title")}
      closeButtonProps={{ "aria-label": t("common:close") }}
    >
      <div className={classes.two}>
        {videos.map((video, place) => (
          <figure key={video.id} style={{ margin: 0 }}>
            <video
              ref={place === 0 ? left : right}
              src={video.video_url}
              aria-label={video.prompt}
              muted
              autoPlay
              loop
              playsInline
            />
            <Text component="figcaption" size="sm" mt={6}>
              {video.prompt}
              <Text span size="xs" c="dimmed" display="block" className="numbers">
                {video.model} · {video.resolution} · {t("facts.seed")} {video.seed}
              </Text>
            </Text>
          </figure>
        ))}
      </div>
      <Group mt="md" wrap="nowrap">
        <ActionIcon
          size="lg"
          variant="default"
          aria-label={t(playing ? "compare.pause" : "compare.play")}
          onClick={() => {
            both((video) => (playing ? video.pause() : void video.play()));
            setPlaying(!playing);
          }}
        >
          {playing ? <Pause size={18} aria-hidden /> : <Play size={18} aria-hidden />}
        </ActionIcon>
        <Slider
          style={{ flex: 1 }}
          thumbLabel={t("compare.moment")}
          label={null}
          min={0}
          max={lasts}
          step={0.01}
          value={moment}
          onChange={(value) => {
            setMoment(value); // keys may come faster than pictures
            both((video) => (video.currentTime = value));
          }}
        />
      </Group>
    </Modal>
  );
}
