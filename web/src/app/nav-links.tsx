import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useTranslation } from "react-i18next";

import { queueQuery } from "@/api/queries";
import { features, TEXTS } from "@/app/features";

import classes from "./shell.module.css";

/** Where one can go, and how much is in the queue. */
export function NavLinks({ iconSize }: { iconSize: number }) {
  const { t } = useTranslation(TEXTS);
  const { data: active = 0 } = useQuery({
    ...queueQuery,
    select: (queue) =>
      queue.tasks.filter((task) => task.status === "pending" || task.status === "processing")
        .length,
  });
  return features.map(({ id, to, icon: Icon }) => (
    <Link key={id} to={to} className={classes.link} activeOptions={{ exact: to === "/" }}>
      <Icon size={iconSize} strokeWidth={1.8} aria-hidden />
      {t(`${id}:nav`)}
      {id === "queue" && active > 0 && (
        <span
          className={`${classes.count ?? ""} numbers`}
          aria-label={t("inQueue", { count: active })}
        >
          {active}
        </span>
      )}
    </Link>
  ));
}
