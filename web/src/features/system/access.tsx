import { Button, Text } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { LogOut } from "lucide-react";
import { useTranslation } from "react-i18next";

import { api, unwrap } from "@/api/client";
import { healthQuery } from "@/api/queries";
import { Facts } from "@/components/facts";
import { Panel } from "@/components/panel";
import { ProblemNote } from "@/components/problem-note";
import { QueryView } from "@/components/query-view";

/** Who may use the server, and how to leave it. */
export function Access() {
  const { t } = useTranslation("system");
  const health = useQuery(healthQuery);
  const leave = useMutation({
    mutationFn: () => unwrap(api.POST("/api/v1/system/sign-out")),
    onSuccess: () => window.location.assign("/"),
  });
  return (
    <QueryView query={health}>
      {({ server_info: { token_needed: needed } }) => (
        <Panel>
          <Facts
            rows={[
              [t("access.address"), window.location.origin],
              [t("access.token"), t(needed ? "access.needed" : "access.open")],
            ]}
          />
          <Text size="xs" c="dimmed" mt="sm">
            {t("access.how")}
          </Text>
          {leave.error && <ProblemNote error={leave.error} />}
          {needed && (
            <Button
              size="xs"
              variant="default"
              mt="sm"
              leftSection={<LogOut size={14} aria-hidden />}
              loading={leave.isPending}
              onClick={() => leave.mutate()}
            >
              {t("access.out")}
            </Button>
          )}
        </Panel>
      )}
    </QueryView>
  );
}
