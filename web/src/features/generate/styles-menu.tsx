import { Button, Menu } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Palette } from "lucide-react";
import { useTranslation } from "react-i18next";

import { api, unwrap } from "@/api/client";
import { useDraft } from "@/lib/draft";

/** Looks that can be added to the prompt, in the words that the models know. */
export function StylesMenu() {
  const { t } = useTranslation("generate");
  const { data } = useQuery({
    queryKey: ["styles"],
    queryFn: ({ signal }) => unwrap(api.GET("/api/v1/prompt/styles", { signal })),
    staleTime: Infinity,
  });
  const add = (style: string) => {
    const { draft, change } = useDraft.getState();
    const before = draft.prompt.trimEnd().replace(/[,.]$/, "");
    const words = `${style.toLowerCase()} style`;
    change({ prompt: before === "" ? words : `${before}, ${words}` });
  };
  return (
    <Menu shadow="md" radius="md" width={280} position="bottom-start">
      <Menu.Target>
        <Button
          variant="subtle"
          size="compact-sm"
          color="gray"
          leftSection={<Palette size={15} aria-hidden />}
          disabled={data === undefined}
        >
          {t("styles")}
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        {data?.styles.map(({ name, display_name, description }) => (
          <Menu.Item key={name} lang="en" onClick={() => add(display_name)}>
            {display_name}
            <span style={{ color: "var(--dim)", marginInlineStart: 8, fontSize: "0.8rem" }}>
              {description}
            </span>
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}
