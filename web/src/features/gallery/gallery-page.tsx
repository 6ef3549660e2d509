import { Button } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { Film, SearchX } from "lucide-react";
import { useCallback, useState } from "react";
import { useTranslation } from "react-i18next";

import type { VideoView } from "@/api/types";
import { EmptyState } from "@/components/empty-state";
import { FileDrop } from "@/components/file-drop";
import { Page } from "@/components/page";
import { QueryView } from "@/components/query-view";
import { useFormat } from "@/lib/use-format";

import { CompareBar } from "./compare-bar";
import { Filters } from "./filters";
import { useLeaving, videosQuery } from "./use-gallery";
import { VideoGrid } from "./video-grid";
import { Viewer } from "./viewer";

const route = getRouteApi("/gallery");

/** Everything that was made. */
export function GalleryPage() {
  const { t } = useTranslation("gallery");
  const format = useFormat();
  const search = route.useSearch();
  const navigate = useNavigate();
  const videos = useInfiniteQuery(videosQuery(search));
  const leaving = useLeaving((store) => store.ids);
  const filtered = Boolean(search.text ?? search.model ?? search.favourite);
  const [chosen, setChosen] = useState<readonly VideoView[]>([]);
  const first = videos.data?.pages[0];
  const shown = (videos.data?.pages ?? [])
    .flatMap((page) => page.videos)
    .filter((video) => !leaving.has(video.id));
  const choose = useCallback(
    (video: VideoView) =>
      setChosen((before) =>
        before.some((each) => each.id === video.id)
          ? before.filter((each) => each.id !== video.id)
          : [...before.slice(-1), video],
      ),
    [],
  );
  return (
    <FileDrop onTaken={() => void navigate({ to: "/" })}>
      <Page
        title={t("title")}
        about={
          first && first.total_count > 0 && !filtered // of those, the server counts no more than some
            ? t("about", {
                count: first.total_count,
                size: format.bytes(first.total_size_mb * 1e6),
              })
            : undefined
        }
        wide
      >
        <Filters />
        <QueryView query={videos}>
          {() =>
            shown.length === 0 ? (
              <Nothing filtered={filtered} />
            ) : (
              <VideoGrid
                videos={shown}
                chosen={chosen}
                onChoose={choose}
                onEnd={() => {
                  if (videos.hasNextPage && !videos.isFetchingNextPage) void videos.fetchNextPage();
                }}
              />
            )
          }
        </QueryView>
        <CompareBar chosen={chosen} onClear={() => setChosen([])} />
        {search.video !== undefined && <Viewer id={search.video} videos={shown} />}
      </Page>
    </FileDrop>
  );
}

function Nothing({ filtered }: { filtered: boolean }) {
  const { t } = useTranslation("gallery");
  return filtered ? (
    <EmptyState
      icon={SearchX}
      title={t("nothing.title")}
      action={
        <Button component={Link} to="/gallery" mt="sm">
          {t("nothing.action")}
        </Button>
      }
    />
  ) : (
    <EmptyState
      icon={Film}
      title={t("empty.title")}
      action={
        <Button component={Link} to="/" mt="sm">
          {t("empty.action")}
        </Button>
      }
    >
      {t("empty.text")}
    </EmptyState>
  );
}
