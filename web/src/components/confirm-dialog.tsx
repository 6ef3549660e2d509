import { Button, Group, Modal, Stack, Text } from "@mantine/core";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { ProblemNote } from "@/components/problem-note";

interface ConfirmDialogProps {
  title: string;
  /** What happens then. */
  children: ReactNode;
  /** What the button says that does it. */
  deed: string;
  onConfirm: () => void;
  onClose: () => void;
  busy: boolean;
  /** It is not known yet what would happen. */
  disabled?: boolean;
  error: Error | null;
}

/** Asks before something is gone for good. */
export function ConfirmDialog({
  title,
  children,
  deed,
  onConfirm,
  onClose,
  busy,
  disabled = false,
  error,
}: ConfirmDialogProps) {
  const { t } = useTranslation("common");
  return (
    <Modal
      opened
      onClose={onClose}
      title={<Text fw={650}>{title}</Text>}
      closeButtonProps={{ "aria-label": t("close") }}
    >
      <Stack>
        {children}
        {error && <ProblemNote error={error} />}
        <Group justify="end" gap="xs">
          <Button variant="default" onClick={onClose} data-autofocus>
            {t("cancel")}
          </Button>
          <Button color="red" loading={busy} disabled={disabled} onClick={onConfirm}>
            {deed}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}
