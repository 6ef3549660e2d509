/** The middle of the frame that is `steps` after the one at `seconds`; the first and the last are the ends. */
export function afterSteps(seconds: number, steps: number, fps: number, frames: number): number {
  const now = Math.min(frames - 1, Math.floor(seconds * fps + 1e-6));
  const next = Math.min(frames - 1, Math.max(0, now + steps));
  return (next + 0.5) / fps;
}

/** The last picture of a video. Throws if the browser cannot show it. */
export async function lastFrame(url: string, fps: number, frames: number): Promise<Blob> {
  const video = document.createElement("video");
  video.muted = true;
  video.preload = "auto";
  video.src = url;
  await heard(video, "loadeddata");
  video.currentTime = (frames - 0.5) / fps;
  await heard(video, "seeked");
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d")?.drawImage(video, 0, 0);
  return new Promise((resolve, reject) =>
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("no picture"))), "image/png"),
  );
}

function heard(video: HTMLVideoElement, event: "loadeddata" | "seeked"): Promise<void> {
  return new Promise((resolve, reject) => {
    video.addEventListener(event, () => resolve(), { once: true });
    video.addEventListener("error", () => reject(new Error(video.error?.message ?? event)), {
      once: true,
    });
  });
}
