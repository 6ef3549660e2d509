import { Table, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";

import { QueryView } from "@/components/query-view";
import { useFormat } from "@/lib/use-format";

import { queueByModelQuery } from "./use-system";

const COUNTS = ["processing", "pending", "held"] as const;

/** How much there is to do, by model. */
export function ByModel() {
  const { t } = useTranslation("system");
  const format = useFormat();
  const queues = useQuery(queueByModelQuery);
  return (
    <QueryView query={queues}>
      {({ models }) =>
        models.length === 0 ? (
          <Text c="dimmed">{t("byModel.none")}</Text>
        ) : (
          <Table className="numbers">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t("byModel.model")}</Table.Th>
                {COUNTS.map((name) => (
                  <Table.Th key={name}>{t(`byModel.${name}`)}</Table.Th>
                ))}
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {models.map((each) => (
                <Table.Tr key={each.model}>
                  <Table.Td>{each.model}</Table.Td>
                  {COUNTS.map((name) => (
                    <Table.Td key={name}>{format.number(each[name])}</Table.Td>
                  ))}
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        )
      }
    </QueryView>
  );
}
