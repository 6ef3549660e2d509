import { useTranslation } from "react-i18next";

import { Page } from "@/components/page";
import { QueryView } from "@/components/query-view";

import { CreateForm } from "./create-form";
import { StartOver } from "./start-over";
import { useModelsQuery } from "./use-model";

/** Where videos are thought up. */
export function GeneratePage() {
  const { t } = useTranslation("generate");
  const models = useModelsQuery();
  return (
    <Page title={t("title")} about={t("about")} actions={<StartOver />}>
      <QueryView query={models}>{(all) => <CreateForm models={all} />}</QueryView>
    </Page>
  );
}
