import { useReducedMotion } from "@mantine/hooks";
import { useRef } from "react";

import { shaped } from "@/components/shaped";

import classes from "./clip.module.css";

interface ClipProps {
  src: string;
  poster?: string | undefined;
  label: string;
  ratio: number;
}

/** A finished video, small: it plays by itself in a loop, unless the user wants no motion. */
export function Clip({ src, poster, label, ratio }: ClipProps) {
  const still = useReducedMotion();
  const video = useRef<HTMLVideoElement>(null);
  return (
    <video
      ref={video}
      className={classes.clip}
      style={shaped(ratio)}
      src={src}
      poster={poster}
      aria-label={label}
      muted
      loop
      playsInline
      controls={still}
      autoPlay={!still}
      preload={still ? "none" : "auto"}
    />
  );
}
