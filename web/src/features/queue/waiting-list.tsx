import {
  closestCenter,
  DndContext,
  KeyboardSensor,
  PointerSensor,
  useSensor,
  useSensors,
  type DragEndEvent,
} from "@dnd-kit/core";
import {
  arrayMove,
  SortableContext,
  sortableKeyboardCoordinates,
  verticalListSortingStrategy,
} from "@dnd-kit/sortable";
import { useTranslation } from "react-i18next";

import type { TaskView } from "@/api/types";
import { ProblemNote } from "@/components/problem-note";

import { useReorder } from "./use-queue";
import { WaitingRow } from "./waiting-row";

import classes from "./queue.module.css";

/** Jobs that wait, in an order that can be changed by dragging or with the keyboard; held ones are below. */
export function WaitingList({ tasks }: { tasks: TaskView[] }) {
  const { t } = useTranslation("queue");
  const reorder = useReorder();
  const sensors = useSensors(
    useSensor(PointerSensor, { activationConstraint: { distance: 5 } }),
    useSensor(KeyboardSensor, { coordinateGetter: sortableKeyboardCoordinates }),
  );
  const ids = tasks.filter(({ state }) => state === "queued").map(({ id }) => id); // held ones have no turn
  const onDragEnd = ({ active, over }: DragEndEvent) => {
    if (over === null || over.id === active.id) return;
    const [from, to] = [ids.indexOf(String(active.id)), ids.indexOf(String(over.id))];
    reorder.mutate(arrayMove(ids, from, to));
  };
  const place = (id: unknown) => ids.indexOf(String(id)) + 1;
  return (
    <>
      {reorder.error && <ProblemNote error={reorder.error} />}
      <DndContext
        sensors={sensors}
        collisionDetection={closestCenter}
        onDragEnd={onDragEnd}
        accessibility={{
          screenReaderInstructions: { draggable: t("drag.how") },
          announcements: {
            onDragStart: ({ active }) => t("drag.start", { place: place(active.id) }),
            onDragOver: ({ over }) =>
              over ? t("drag.over", { place: place(over.id) }) : undefined,
            onDragEnd: ({ over }) => (over ? t("drag.end", { place: place(over.id) }) : undefined),
            onDragCancel: () => t("drag.cancel"),
          },
        }}
      >
        <SortableContext items={ids} strategy={verticalListSortingStrategy}>
          <ol className={classes.list}>
            {tasks.map((task) => (
              <WaitingRow key={task.id} task={task} place={place(task.id)} />
            ))}
          </ol>
        </SortableContext>
      </DndContext>
    </>
  );
}
