/** A part of a picture, in pixels of the picture. */
export interface Area {
  x: number;
  y: number;
  width: number;
  height: number;
}

export async function cropped(url: string, area: Area): Promise<Blob> {
  const image = new Image();
  image.src = url;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(area.width);
  canvas.height = Math.round(area.height);
  const context = canvas.getContext("2d");
  context?.drawImage(image, -Math.round(area.x), -Math.round(area.y));
  return new Promise((resolve, reject) =>
    canvas.toBlob(
      (blob) => (blob ? resolve(blob) : reject(new Error("the picture is too large"))),
      "image/png",
    ),
  );
}
