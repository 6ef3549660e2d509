import { useTranslation } from "react-i18next";

import { Page } from "@/components/page";
import { QueryView } from "@/components/query-view";

import { CreateForm } from "./create-form";
import { StartOver } from "./start-over";
import { useModelsQuery } from "./use-model";
import { useWelcome } from "./use-welcome";
import { Welcome } from "./welcome"; // not lazily: the page has to open while the server is away
import { WelcomeButton } from "./welcome-button";

/** Where videos are thought up. */
export function GeneratePage() {
  const { t } = useTranslation("generate");
  const models = useModelsQuery();
  const welcome = useWelcome(({ shown }) => shown);
  return (
    <Page
      title={t("title")}
      about={t("about")}
      actions={
        <>
          <WelcomeButton />
          <StartOver />
        </>
      }
    >
      {welcome && <Welcome />}
      <QueryView query={models}>{(all) => <CreateForm models={all} />}</QueryView>
    </Page>
  );
}
