import { Accordion, Table, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";

import { planQuery } from "@/api/queries";
import type { ModelView } from "@/api/types";
import { useFormat } from "@/lib/use-format";

import classes from "./models.module.css";

const COLUMNS = [
  "model",
  "inputs",
  "size",
  "length",
  "steps",
  "loras",
  "disk",
  "time",
  "memory",
] as const;

/** All models side by side, once somebody asks for it. */
export function CompareTable({ models }: { models: readonly ModelView[] }) {
  const { t } = useTranslation("models");
  return (
    <Accordion keepMounted={false} variant="contained" radius="lg" chevronPosition="left">
      <Accordion.Item value="compare">
        <Accordion.Control>{t("compare.title")}</Accordion.Control>
        <Accordion.Panel>
          <Table.ScrollContainer minWidth={860}>
            <Table className={`${classes.compare ?? ""} numbers`} highlightOnHover>
              <Table.Thead>
                <Table.Tr>
                  {COLUMNS.map((name) => (
                    <Table.Th key={name} scope="col">
                      {t(`compare.${name}`)}
                    </Table.Th>
                  ))}
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {models.map((model) => (
                  <Row key={model.id} model={model} />
                ))}
              </Table.Tbody>
            </Table>
          </Table.ScrollContainer>
          <Text size="xs" c="dimmed">
            {t("compare.note")}
          </Text>
        </Accordion.Panel>
      </Accordion.Item>
    </Accordion>
  );
}

function Row({ model }: { model: ModelView }) {
  const { t } = useTranslation("models");
  const format = useFormat();
  const plan = useQuery(planQuery({ model_type: model.id, image: model.image_required })).data;
  const { defaults, limits, variants } = model;
  const least = Math.min(...variants.map(({ bytes }) => bytes ?? Infinity));
  const disk = model.bytes ?? (Number.isFinite(least) ? least : null);
  const seconds = (frames: number) => format.number(frames / defaults.fps, 1);
  const inputs = model.inputs.map((input) =>
    t(`input.${input as "text" | "image" | "end_image"}`, { defaultValue: input }),
  );
  return (
    <Table.Tr>
      <Table.Th scope="row">{model.title}</Table.Th>
      <Table.Td>{inputs.join(", ")}</Table.Td>
      <Table.Td>{`${defaults.width} × ${defaults.height}`}</Table.Td>
      <Table.Td>
        {t("compare.seconds", {
          usual: seconds(defaults.frames),
          most: seconds(limits.max_frames),
        })}
      </Table.Td>
      <Table.Td>{defaults.steps}</Table.Td>
      <Table.Td>{t(model.takes_loras ? "compare.yes" : "compare.no")}</Table.Td>
      <Table.Td>
        {disk === null
          ? "–"
          : model.bytes == null
            ? t("compare.from", { size: format.bytes(disk) })
            : format.bytes(disk)}
      </Table.Td>
      <Table.Td>{plan === undefined ? "…" : format.duration(plan.seconds)}</Table.Td>
      <Table.Td>{plan === undefined ? "…" : format.memory(plan.peak_mb)}</Table.Td>
    </Table.Tr>
  );
}
