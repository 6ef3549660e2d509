import { ActionIcon, Group, Select, TextInput, Tooltip } from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { Heart, Search as SearchIcon } from "lucide-react";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { modelsQuery } from "@/api/queries";

import type { Search } from "./search";

const route = getRouteApi("/gallery");
const PAUSE = 250; // milliseconds without a key, before it is looked for

/** Which videos; kept in the address, so that Back and links work. */
export function Filters() {
  const { t } = useTranslation("gallery");
  const search = route.useSearch();
  const navigate = useNavigate();
  const [text, setText] = useState(search.text ?? "");
  const models = useQuery(modelsQuery);
  const change = (changes: { [K in keyof Search]: Search[K] | undefined }) =>
    void navigate({
      to: "/gallery",
      replace: true,
      search: (before) => defined({ ...before, ...changes }),
    });
  const look = useDebouncedCallback(
    (value: string) => change({ text: value === "" ? undefined : value }),
    PAUSE,
  );
  return (
    <Group gap="xs">
      <TextInput
        type="search"
        aria-label={t("search")}
        placeholder={t("search")}
        leftSection={<SearchIcon size={16} aria-hidden />}
        value={text}
        onChange={(event) => {
          setText(event.currentTarget.value);
          look(event.currentTarget.value);
        }}
        style={{ flex: "1 1 14rem", maxWidth: "28rem" }}
      />
      <Select
        aria-label={t("model")}
        placeholder={t("model")}
        clearable
        data={(models.data?.models ?? []).map(({ id, title }) => ({ value: id, label: title }))}
        value={search.model ?? null}
        onChange={(model) => change({ model: model ?? undefined })}
      />
      <Tooltip label={t("favourites")}>
        <ActionIcon
          size={36}
          variant={search.favourite ? "filled" : "default"}
          aria-label={t("favourites")}
          aria-pressed={search.favourite ?? false}
          onClick={() => change({ favourite: search.favourite ? undefined : true })}
        >
          <Heart size={17} aria-hidden />
        </ActionIcon>
      </Tooltip>
    </Group>
  );
}

function defined(search: { [K in keyof Search]: Search[K] | undefined }): Search {
  return Object.fromEntries(Object.entries(search).filter(([, value]) => value !== undefined));
}
