import classes from "./facts.module.css";

interface FactsProps {
  /** Name and value, in this order; what is null is not known, and left out. */
  rows: readonly (readonly [string, string | null])[];
}

/** What is known of something, by name. */
export function Facts({ rows }: FactsProps) {
  return (
    <dl className={`${classes.facts} numbers`}>
      {rows.map(
        ([name, value]) =>
          value !== null && (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ),
      )}
    </dl>
  );
}
