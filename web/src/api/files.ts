import { unwrap } from "@/api/client";
import type { LoraUploaded, PictureView, SettingsView } from "@/api/types";

/** Hears how many percent of a file have been sent. */
export type Told = (percent: number) => void;

/** Where files go, and what comes back. */
interface Takers {
  "/api/v1/inputs": PictureView;
  "/api/v1/lora/upload": LoraUploaded;
  "/api/v1/outputs/settings": SettingsView;
}

/** Send a file as a form. `fetch` does not tell how far it is. Throws ApiError. */
export async function sendFile<P extends keyof Takers>(
  path: P,
  file: Blob,
  told?: Told,
): Promise<Takers[P]> {
  const asked = post(path, file, told).then(async (response) => {
    const said: unknown = await response.json().catch(() => undefined);
    return response.ok ? { data: said as Takers[P], response } : { error: said, response };
  });
  return unwrap(asked);
}

function post(path: string, file: Blob, told?: Told): Promise<Response> {
  const form = new FormData();
  form.append("file", file);
  const request = new XMLHttpRequest();
  return new Promise((resolve, reject) => {
    request.upload.onprogress = ({ loaded, total }) => {
      if (total > 0) told?.(Math.floor((100 * loaded) / total));
    };
    request.onload = () => resolve(new Response(request.responseText, { status: request.status }));
    request.onerror = () => reject(new TypeError("the connection was lost"));
    request.open("POST", path);
    request.send(form);
  });
}

/** Have the server keep a picture. Throws ApiError for what is none. */
export function upload(file: Blob, told?: Told): Promise<PictureView> {
  return sendFile("/api/v1/inputs", file, told);
}
