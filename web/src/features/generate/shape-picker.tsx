import { Group, SegmentedControl, Text, UnstyledButton } from "@mantine/core";
import { Image as ImageIcon } from "lucide-react";
import { useTranslation } from "react-i18next";

import type { ModelView } from "@/api/types";
import { sizeLike, sizeOf, useDraft } from "@/lib/draft";
import { detailOf, detailsOf, SHAPES, shapeOf, sizeFor } from "@/lib/sizes";

import classes from "./shape-picker.module.css";

/** The size of the video, as pictures of its shape. */
export function ShapePicker({ model }: { model: ModelView }) {
  const { t } = useTranslation("generate");
  const draft = useDraft((store) => store.draft);
  const change = useDraft((store) => store.change);
  const details = detailsOf(model);
  const asPicture = draft.size === null && draft.image !== null;
  const size =
    sizeOf(draft, model) ?? (draft.image ? sizeLike(draft.image, model) : model.defaults);
  const shape = asPicture ? "picture" : shapeOf(size).id;
  const detail = detailOf(model, size) ?? { lines: size.height, area: size.width * size.height };
  return (
    <div>
      <Group justify="space-between" mb="sm">
        <Text size="sm" fw={600}>
          {t("shape.label")}
        </Text>
        <Text size="sm" c="dimmed" className="numbers">
          {size.width} × {size.height}
        </Text>
      </Group>
      <div className={classes.shapes} role="radiogroup" aria-label={t("shape.label")}>
        {draft.image !== null && (
          <ShapeButton
            name={t("shape.picture")}
            checked={shape === "picture"}
            choose={() => change({ size: null })}
          >
            <ImageIcon size={26} strokeWidth={1.5} aria-hidden />
          </ShapeButton>
        )}
        {SHAPES.map(({ id, ratio }) => (
          <ShapeButton
            key={id}
            name={t(`shape.${id}`)}
            checked={shape === id}
            choose={() => change({ size: sizeFor(model, ratio, detail) })}
          >
            <span
              className={classes.frame}
              style={{
                inlineSize: `${2.1 * Math.min(1, ratio)}rem`,
                blockSize: `${2.1 * Math.min(1, 1 / ratio)}rem`,
              }}
            />
          </ShapeButton>
        ))}
      </div>
      {details.length > 1 && (
        <SegmentedControl
          mt="sm"
          aria-label={t("shape.detail")}
          value={String(detail.lines)}
          onChange={(lines) => {
            const next = details.find((each) => String(each.lines) === lines);
            if (next) change({ size: sizeFor(model, size.width / size.height, next) });
          }}
          data={details.map(({ lines }) => ({ value: String(lines), label: `${lines}p` }))}
        />
      )}
    </div>
  );
}

interface ShapeButtonProps {
  name: string;
  checked: boolean;
  choose: () => void;
  children: React.ReactNode;
}

function ShapeButton({ name, checked, choose, children }: ShapeButtonProps) {
  return (
    <UnstyledButton role="radio" aria-checked={checked} className={classes.shape} onClick={choose}>
      <span className={classes.space}>{children}</span>
      <Text size="xs">{name}</Text>
    </UnstyledButton>
  );
}
