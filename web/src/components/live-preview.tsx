import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";

import { liveQuery } from "@/api/queries";
import { useTopic } from "@/lib/live";

import { shaped } from "@/components/shaped";

import classes from "./live-preview.module.css";

interface LivePreviewProps {
  task: string;
  /** Of the video, so that nothing moves when the first picture comes. */
  ratio: number;
}

/** The video as it forms: some of its frames, moving; until there are any, noise. */
export function LivePreview({ task, ratio }: LivePreviewProps) {
  const { t } = useTranslation("common");
  useTopic("previews");
  const { data: live } = useQuery(liveQuery(task));
  const preview = live?.preview;
  if (preview === undefined) {
    return <div className={classes.noise} style={shaped(ratio)} aria-hidden />;
  }
  return (
    <div
      role="img"
      aria-label={t("preview", { step: preview.step, steps: preview.steps })}
      className={classes.film}
      style={{
        ...shaped(ratio),
        backgroundImage: `url(data:image/jpeg;base64,${preview.jpeg})`,
        backgroundSize: `${preview.frames * 100}% 100%`,
        animationTimingFunction: `steps(${preview.frames}, jump-none)`,
        animationDuration: `${preview.frames * 220}ms`,
        animationName: preview.frames > 1 ? undefined : "none",
      }}
    />
  );
}
