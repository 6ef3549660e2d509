import { MantineThemeProvider } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import { Notifications } from "@mantine/notifications";
import { useTranslation } from "react-i18next";

/** Where short messages appear, each with a button that closes it and says so. */
export function Notices() {
  const { t } = useTranslation("common");
  const phone = useMediaQuery("(max-width: 48em)"); // where the bottom belongs to the thumb
  const closeButtonProps = { "aria-label": t("close") };
  return (
    <MantineThemeProvider
      inherit
      theme={{ components: { Notification: { defaultProps: { closeButtonProps } } } }}
    >
      <Notifications position={phone ? "top-center" : "bottom-right"} limit={4} />
    </MantineThemeProvider>
  );
}
