import { Link } from "@tanstack/react-router";

import classes from "./brand.module.css";

/** Three frames that come out of the noise. */
export function Brand() {
  return (
    <Link to="/" className={classes.brand} aria-label="wanvideo">
      <svg viewBox="0 0 30 24" width="30" height="24" aria-hidden>
        <rect x="1" y="5" width="6" height="14" rx="2.2" opacity=".3" />
        <rect x="9.5" y="5" width="6" height="14" rx="2.2" opacity=".62" />
        <rect x="18" y="2" width="11" height="20" rx="3" />
      </svg>
      <span>
        wan<b>video</b>
      </span>
    </Link>
  );
}
