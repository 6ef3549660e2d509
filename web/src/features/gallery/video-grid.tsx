import { useElementSize } from "@mantine/hooks";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useState } from "react";

import type { VideoView } from "@/api/types";

import { VideoCard } from "./video-card";

import classes from "./gallery.module.css";

const LEAST = 220; // pixels across, of a card
const GAP = 14;
const CAPTION = 62;

interface VideoGridProps {
  videos: readonly VideoView[];
  chosen: readonly VideoView[];
  onChoose: (video: VideoView) => void;
  /** The last row comes into sight. */
  onEnd: () => void;
}

/** Only the rows that can be seen are in the page, however many there are. */
export function VideoGrid({ videos, chosen, onChoose, onEnd }: VideoGridProps) {
  const { ref, width } = useElementSize();
  const [top, setTop] = useState(0);
  const columns = Math.max(1, Math.floor((width + GAP) / (LEAST + GAP)));
  const rows = Math.ceil(videos.length / columns);
  const across = (width - GAP * (columns - 1)) / columns;
  const height = Math.round((across * 10) / 16) + CAPTION + GAP;
  const grid = useWindowVirtualizer({
    count: width === 0 ? 0 : rows,
    estimateSize: () => height,
    overscan: 3,
    scrollMargin: top,
  });
  const shown = grid.getVirtualItems();
  const last = shown.at(-1)?.index ?? -1;
  useEffect(() => grid.measure(), [grid, height]);
  useEffect(() => {
    if (last >= rows - 2 && last >= 0) onEnd();
  });
  return (
    <div ref={(place) => setTop(place?.offsetTop ?? 0)}>
      <div ref={ref} className={classes.grid} style={{ height: grid.getTotalSize() }}>
        {shown.map((row) => (
          <div
            key={row.key}
            className={classes.gridRow}
            style={{
              gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))`,
              transform: `translateY(${row.start - grid.options.scrollMargin}px)`,
            }}
          >
            {videos.slice(row.index * columns, (row.index + 1) * columns).map((video) => (
              <VideoCard
                key={video.id}
                video={video}
                chosen={chosen.some((each) => each.id === video.id)}
                onChoose={onChoose}
              />
            ))}
          </div>
        ))}
      </div>
    </div>
  );
}
