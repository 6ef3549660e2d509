import { Button, Group } from "@mantine/core";
import { useTranslation } from "react-i18next";

import { useDraft } from "@/lib/draft";

/** What the demo models were trained to draw, and what the large ones do well: prompts stay English, as trained. */
const DEMO = [
  "a small red circle moves left on a navy background",
  "a large yellow square is growing on a black background",
  "a small white triangle moves up on a brown background",
];
const REAL = [
  "A heron lands on a frozen lake at dawn, mist over the ice, slow tracking shot, soft golden light",
  "Close-up of rain on a neon-lit window at night, a city bus passes behind, shallow depth of field",
  "A paper boat sails down a gutter after a storm, low angle, handheld, warm evening sun",
];

/** Something to begin with. */
export function PromptExamples({ demo }: { demo: boolean }) {
  const { t } = useTranslation("generate");
  const change = useDraft((store) => store.change);
  return (
    <Group gap={6} role="group" aria-label={t("prompt.examples")}>
      {(demo ? DEMO : REAL).map((example) => (
        <Button
          key={example}
          size="compact-sm"
          variant="default"
          radius="xl"
          fw={450}
          lang="en"
          maw="100%"
          styles={{
            label: {
              display: "block",
              height: "auto",
              lineHeight: 1.5,
              textBoxTrim: "none", // of the tails of letters
              textOverflow: "ellipsis",
            },
          }}
          onClick={() => change({ prompt: example })}
        >
          {example}
        </Button>
      ))}
    </Group>
  );
}
