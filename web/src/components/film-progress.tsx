import { useTranslation } from "react-i18next";

import classes from "./film-progress.module.css";

interface FilmProgressProps {
  /** Percent of everything. */
  percent: number;
  /** Of the phase at work, if it goes in steps. */
  step?: number | undefined;
  steps?: number | undefined;
  label: string;
  /** Something moves, though nobody knows how far. */
  waiting?: boolean;
}

const MOST_CELLS = 60;

/** Progress as a strip of film: a cell for each step, lit as it is done. */
export function FilmProgress({ percent, step, steps, label, waiting = false }: FilmProgressProps) {
  const { t } = useTranslation("common");
  const cells = steps !== undefined && steps > 1 && steps <= MOST_CELLS ? steps : 0;
  return (
    <div
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(percent)}
      aria-valuetext={
        step !== undefined && steps !== undefined ? t("step", { step, steps }) : undefined
      }
      className={classes.strip}
      data-waiting={waiting || undefined}
    >
      {cells > 0 ? (
        Array.from({ length: cells }, (_, cell) => (
          <span
            key={cell}
            className={classes.cell}
            data-lit={cell < (step ?? 0) || undefined}
            data-next={cell === (step ?? 0) || undefined}
          />
        ))
      ) : (
        <span className={classes.bar} style={{ inlineSize: `${Math.max(1.5, percent)}%` }} />
      )}
    </div>
  );
}
