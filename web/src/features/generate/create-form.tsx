import { Stack } from "@mantine/core";

import type { ModelView } from "@/api/types";
import { FileDrop } from "@/components/file-drop";
import { Later } from "@/components/later";

import { Latest } from "./latest";
import { LoraPanel } from "./lora-panel";
import { ModelPicker } from "./model-picker";
import { MoreSettings } from "./more-settings";
import { PicturesPanel } from "./pictures-panel";
import { PlanPanel } from "./plan-panel";
import { PromptPanel } from "./prompt-panel";
import { ShapePanel } from "./shape-panel";
import { SubmitBar } from "./submit-bar";
import { TakesPanel } from "./takes-panel";
import { useMake } from "./use-make";

import classes from "./create-form.module.css";

/** The form on the left, what comes of it on the right. */
export function CreateForm({ models }: { models: readonly ModelView[] }) {
  const making = useMake(models);
  return (
    <FileDrop>
      <div className={classes.columns}>
        <Stack gap="md" className={classes.form}>
          <PromptPanel />
          <PicturesPanel />
          <ModelPicker models={models} />
          <Later>
            <ShapePanel />
            <TakesPanel />
            <LoraPanel />
            <MoreSettings />
          </Later>
        </Stack>
        <Stack gap="md" className={classes.result}>
          <PlanPanel models={models} making={making} />
          <Later>
            <Latest />
          </Later>
        </Stack>
      </div>
      <SubmitBar models={models} making={making} />
    </FileDrop>
  );
}
