import { ActionIcon } from "@mantine/core";
import { ScrollText } from "lucide-react";
import { lazy, Suspense, useState } from "react";
import { useTranslation } from "react-i18next";

import type { TaskView } from "@/api/types";
import { fetched } from "@/lib/fetched";

const JobLog = lazy(
  fetched(() => import("./job-log").then(({ JobLog: each }) => ({ default: each }))),
);

/** Opens the log of a job. */
export function LogButton({ task }: { task: Pick<TaskView, "id" | "prompt"> }) {
  const { t } = useTranslation("common");
  const [shown, setShown] = useState(false);
  return (
    <>
      <ActionIcon
        variant="subtle"
        color="gray"
        size="lg"
        title={t("log.show")}
        aria-label={t("log.of", { prompt: task.prompt })}
        onClick={() => setShown(true)}
      >
        <ScrollText size={16} aria-hidden />
      </ActionIcon>
      {shown && (
        <Suspense>
          <JobLog task={task} close={() => setShown(false)} />
        </Suspense>
      )}
    </>
  );
}
