import { Button, Group, Modal, SegmentedControl, Slider, Stack, Text } from "@mantine/core";
import { useState } from "react";
import Cropper from "react-easy-crop";
import { useTranslation } from "react-i18next";

import type { PictureView } from "@/api/types";
import { useDraft } from "@/lib/draft";
import { SHAPES, shapeOf } from "@/lib/sizes";

import { cropped, type Area } from "./files";

interface CropDialogProps {
  picture: PictureView;
  close: () => void;
  take: (blob: Blob) => void;
}

/** Cut a picture to a shape that videos have. */
export function CropDialog({ picture, close, take }: CropDialogProps) {
  const { t } = useTranslation(["generate", "common"]);
  const chosen = useDraft(({ draft }) => draft.size);
  const [shape, setShape] = useState(() => shapeOf(chosen ?? picture).id);
  const [place, setPlace] = useState({ x: 0, y: 0 });
  const [zoom, setZoom] = useState(1);
  const [area, setArea] = useState<Area | null>(null);
  const ratio = SHAPES.find(({ id }) => id === shape)?.ratio ?? 1;
  return (
    <Modal
      opened
      onClose={close}
      size="lg"
      title={<Text fw={650}>{t("crop.title")}</Text>}
      closeButtonProps={{ "aria-label": t("common:close") }}
    >
      <Stack>
        <SegmentedControl
          aria-label={t("shape.label")}
          fullWidth
          value={shape}
          onChange={setShape}
          data={SHAPES.map(({ id }) => ({ value: id, label: t(`shape.${id}`) }))}
        />
        <div style={{ position: "relative", blockSize: "min(55dvh, 26rem)" }}>
          <Cropper
            image={picture.url}
            aspect={ratio}
            crop={place}
            zoom={zoom}
            onCropChange={setPlace}
            onZoomChange={setZoom}
            onCropComplete={(_, pixels) => setArea(pixels)}
          />
        </div>
        <Slider
          label={null}
          thumbLabel={t("crop.zoom")}
          min={1}
          max={4}
          step={0.05}
          value={zoom}
          onChange={setZoom}
        />
        <Group justify="end">
          <Button variant="default" onClick={close}>
            {t("common:cancel")}
          </Button>
          <Button
            disabled={area === null}
            onClick={() => area && void cropped(picture.url, area).then(take)}
          >
            {t("crop.take")}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}
