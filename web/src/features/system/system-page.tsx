import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { RefreshCw } from "lucide-react";
import { useTranslation } from "react-i18next";

import { Page } from "@/components/page";
import { QueryView } from "@/components/query-view";
import { Section } from "@/components/section";

import { Checks, Hardware, Versions } from "./diagnosis";
import { Access } from "./access";
import { AtWork } from "./at-work";
import { ByModel } from "./by-model";
import { GpuList } from "./gpu-list";
import { Limits } from "./limits";
import { JobLogs } from "./job-logs";
import { Load } from "./load";
import { Machines } from "./machines";
import { Speeds } from "./speeds";
import classes from "./system.module.css";
import { diagnosticsQuery } from "./use-system";
import { Workers } from "./workers";

/** How the computer does, what it is, and what jobs may take of it. */
export function SystemPage() {
  const { t } = useTranslation("system");
  const diagnostics = useQuery(diagnosticsQuery);
  return (
    <Page
      wide
      title={t("title")}
      about={t("about")}
      actions={
        <Button
          variant="default"
          leftSection={<RefreshCw size={16} aria-hidden />}
          loading={diagnostics.isFetching}
          onClick={() => void diagnostics.refetch()}
        >
          {t("checks.again")}
        </Button>
      }
    >
      <Section title={t("load")}>
        <Load />
      </Section>
      <div className={classes.board}>
        <Section title={t("gpu.title")}>
          <GpuList />
        </Section>
        <Section title={t("work.title")}>
          <AtWork />
        </Section>
        <Section title={t("workers.title")}>
          <Workers />
        </Section>
        <Machines />
        <Section title={t("byModel.title")}>
          <ByModel />
        </Section>
        <Section title={t("speeds.title")}>
          <Speeds />
        </Section>
        <Section title={t("logs.title")}>
          <JobLogs />
        </Section>
        <Section title={t("limits.title")}>
          <Limits />
        </Section>
        <Section title={t("access.title")}>
          <Access />
        </Section>
        <QueryView query={diagnostics}>
          {({ checks, hardware, versions }) => (
            <>
              <Section title={t("checks.title")}>
                <Checks checks={checks} />
              </Section>
              <Section title={t("hardware.title")}>
                <Hardware hardware={hardware} />
              </Section>
              <Section title={t("versions")}>
                <Versions versions={versions} />
              </Section>
            </>
          )}
        </QueryView>
      </div>
    </Page>
  );
}
