import { Modal } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useRef } from "react";
import { useTranslation } from "react-i18next";

import type { VideoView } from "@/api/types";
import { QueryView } from "@/components/query-view";
import { useShortcuts } from "@/lib/shortcuts";

import { About } from "./about";
import { Actions } from "./actions";
import { Player } from "./player";
import { searchOf } from "./search";
import { videoQuery } from "./use-gallery";

import classes from "./gallery.module.css";

/** One video, large, with all that is known of it. `videos` are those before and after it. */
export function Viewer({ id, videos }: { id: string; videos: readonly VideoView[] }) {
  const { t } = useTranslation("gallery");
  const navigate = useNavigate();
  const known = videos.find((video) => video.id === id);
  const video = useQuery({ ...videoQuery(id), ...(known && { initialData: known }) });
  const screen = useRef<HTMLVideoElement>(null);
  const go = (video: string | undefined) =>
    void navigate({
      to: "/gallery",
      replace: video !== undefined,
      search: (before) => searchOf({ ...before, video }),
    });
  const place = videos.findIndex((each) => each.id === id);
  const neighbour = (step: number) => {
    const next = videos[place + step];
    if (place >= 0 && next !== undefined) go(next.id);
  };
  useShortcuts(t("viewer.title"), [
    { keys: "j", label: t("viewer.next"), run: () => neighbour(1) },
    { keys: "k", label: t("viewer.previous"), run: () => neighbour(-1) },
  ]);
  return (
    <Modal
      opened
      onClose={() => go(undefined)}
      title={t("viewer.title")}
      size="72rem"
      closeButtonProps={{ "aria-label": t("viewer.close") }}
    >
      <QueryView query={video}>
        {(data) => (
          <div className={classes.viewer}>
            <Player video={data} screen={screen} />
            <div>
              <About video={data} />
              <Actions video={data} onLeave={() => go(undefined)} />
            </div>
          </div>
        )}
      </QueryView>
    </Modal>
  );
}
