import { api, unwrap } from "@/api/client";
import type { PictureView } from "@/api/types";

/** openapi-fetch sends what a serializer makes of a body; the schema's word for a file is a text. */
export const asForm = (file: Blob) => ({
  body: { file: "" },
  bodySerializer: () => {
    const form = new FormData();
    form.append("file", file);
    return form;
  },
});

/** Have the server keep a picture. Throws ApiError for what is none. */
export async function upload(file: Blob): Promise<PictureView> {
  return unwrap(api.POST("/api/v1/inputs", asForm(file)));
}
