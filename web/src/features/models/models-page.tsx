import { Alert, SimpleGrid } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Boxes, TriangleAlert } from "lucide-react";
import { useTranslation } from "react-i18next";

import { modelsQuery } from "@/api/queries";
import type { Models, ModelView } from "@/api/types";
import { EmptyState } from "@/components/empty-state";
import { Later } from "@/components/later";
import { Page } from "@/components/page";
import { QueryView } from "@/components/query-view";
import { Section } from "@/components/section";
import { useTopic } from "@/lib/live";

import { AddFiles } from "./add-files";
import { Advice } from "./advice";
import { CompareTable } from "./compare-table";
import { ModelCard } from "./model-card";
import { downloadsQuery } from "./use-models";

/** Which models there are, which are here, and how the others get here. */
export function ModelsPage() {
  const { t } = useTranslation("models");
  const models = useQuery(modelsQuery);
  useTopic("download_progress");
  return (
    <Page title={t("title")} about={t("about")} wide>
      <QueryView query={models}>{(data) => <Catalog models={data} />}</QueryView>
    </Page>
  );
}

function Catalog({ models }: { models: Models }) {
  const { t } = useTranslation("models");
  const missing = models.models.filter((model) => model.state === "missing");
  const here = models.models.filter((model) => model.state !== "missing");
  return (
    <>
      {models.problems.map((problem) => (
        <Alert key={problem} color="yellow" icon={<TriangleAlert size={18} aria-hidden />}>
          {problem}
        </Alert>
      ))}
      {models.models.length === 0 && <EmptyState icon={Boxes} title={t("empty")} />}
      {models.models.length > 0 && (
        <Section title={t("advice.title")}>
          <Advice models={models.models} />
          <CompareTable models={models.models} />
        </Section>
      )}
      <Later>
        {here.length > 0 && <Cards title={t("here")} models={here} />}
        {missing.length > 0 && <Cards title={t("missing")} models={missing} />}
        <Section title={t("add.title")}>
          <AddFiles />
        </Section>
      </Later>
    </>
  );
}

function Cards({ title, models }: { title: string; models: readonly ModelView[] }) {
  const downloads = useQuery(downloadsQuery).data?.downloads ?? {};
  return (
    <Section title={title}>
      <SimpleGrid cols={{ base: 1, md: 2, xl: 3 }}>
        {models.map((model) => (
          <ModelCard
            key={model.id}
            model={model}
            download={downloads[model.id] ?? model.download ?? null}
          />
        ))}
      </SimpleGrid>
    </Section>
  );
}
