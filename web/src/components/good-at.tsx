import { Text } from "@mantine/core";

import type { ModelView } from "@/api/types";
import { useModelTexts } from "@/components/use-model-texts";

/** What a model is for, in a line. */
export function GoodAt({ model }: { model: ModelView }) {
  const { goodAt, lang } = useModelTexts()(model);
  return (
    <Text size="sm" c="dimmed" lang={lang}>
      {goodAt}
    </Text>
  );
}
