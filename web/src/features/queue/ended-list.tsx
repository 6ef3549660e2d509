import { Button } from "@mantine/core";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import type { TaskView } from "@/api/types";

import { EndedRow } from "./ended-row";

import classes from "./queue.module.css";

const FEW = 8;

/** What came out lately; all of it is in the gallery. */
export function EndedList({ tasks }: { tasks: TaskView[] }) {
  const { t } = useTranslation("queue");
  const [all, setAll] = useState(false);
  return (
    <>
      <ul className={classes.list}>
        {tasks.slice(0, all ? tasks.length : FEW).map((task) => (
          <EndedRow key={task.id} task={task} />
        ))}
      </ul>
      {!all && tasks.length > FEW && (
        <Button
          variant="subtle"
          color="gray"
          style={{ alignSelf: "start" }}
          onClick={() => setAll(true)}
        >
          {t("showAll", { count: tasks.length })}
        </Button>
      )}
    </>
  );
}
