import { MantineProvider, Menu } from "@mantine/core";
import { cleanup, render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, expect, test, vi } from "vitest";

import { theme } from "@/app/theme";

afterEach(cleanup);

test("what is chosen in a menu is done once, also with two clicks", async () => {
  const done = vi.fn();
  render(
    <MantineProvider theme={theme}>
      <Menu>
        <Menu.Target>
          <button type="button">More</button>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item onClick={done}>Once more</Menu.Item>
        </Menu.Dropdown>
      </Menu>
    </MantineProvider>,
  );
  await userEvent.click(screen.getByRole("button", { name: "More" }));
  await userEvent.dblClick(await screen.findByText("Once more"));
  expect(done).toHaveBeenCalledTimes(1);
  expect(screen.queryByText("Once more")).toBeNull();
});
