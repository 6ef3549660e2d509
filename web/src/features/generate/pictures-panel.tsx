import { ActionIcon, Badge, Group, Text, Tooltip } from "@mantine/core";
import { ArrowLeftRight } from "lucide-react";
import { useTranslation } from "react-i18next";

import { Panel } from "@/components/panel";
import { modeOf, useDraft, useDraftField } from "@/lib/draft";

import { PictureSlot } from "./picture-slot";

import classes from "./pictures-panel.module.css";

/** The first and the last frame, if they are given; what is given decides what kind of video it becomes. */
export function PicturesPanel() {
  const { t } = useTranslation("generate");
  const mode = useDraft(({ draft }) => modeOf(draft));
  const change = useDraft((store) => store.change);
  const [image, setImage] = useDraftField("image");
  const [endImage, setEndImage] = useDraftField("endImage");
  return (
    <Panel label={t("pictures.title")}>
      <Group justify="space-between" mb="sm">
        <Text fw={600}>{t("pictures.title")}</Text>
        <Badge>{t(`mode.${mode}`)}</Badge>
      </Group>
      <div className={classes.slots}>
        <PictureSlot label={t("pictures.first")} picture={image} onChange={setImage} />
        <Tooltip label={t("pictures.swap")}>
          <ActionIcon
            variant="subtle"
            color="gray"
            aria-label={t("pictures.swap")}
            disabled={image === null && endImage === null}
            onClick={() => change({ image: endImage, endImage: image })}
          >
            <ArrowLeftRight size={16} aria-hidden />
          </ActionIcon>
        </Tooltip>
        <PictureSlot label={t("pictures.last")} picture={endImage} onChange={setEndImage} />
      </div>
      {mode === "ends" && image === null && (
        <Text size="sm" c="var(--warn)" mt="xs">
          {t("pictures.needsFirst")}
        </Text>
      )}
    </Panel>
  );
}
