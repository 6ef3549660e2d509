import { SimpleGrid } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Layers } from "lucide-react";
import { useTranslation } from "react-i18next";

import { lorasQuery } from "@/api/queries";
import { EmptyState } from "@/components/empty-state";
import { Page } from "@/components/page";
import { QueryView } from "@/components/query-view";

import { LoraCard } from "./lora-card";
import { UploadArea } from "./upload-area";

/** The LoRAs that are here, and a way to get more in. */
export function LorasPage() {
  const { t } = useTranslation("loras");
  const loras = useQuery(lorasQuery);
  return (
    <Page title={t("title")} about={t("about")} wide>
      <UploadArea />
      <QueryView query={loras}>
        {(data) =>
          data.loras.length === 0 ? (
            <EmptyState icon={Layers} title={t("empty.title")}>
              {t("empty.text")}
            </EmptyState>
          ) : (
            <SimpleGrid cols={{ base: 1, md: 2, xl: 3 }}>
              {data.loras.map((lora) => (
                <LoraCard key={lora.name} lora={lora} />
              ))}
            </SimpleGrid>
          )
        }
      </QueryView>
    </Page>
  );
}
