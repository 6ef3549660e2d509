/** Where the card of a model stands on its page. */
export function anchorOf(model: string): string {
  return `model-${model.replaceAll(/[^\w-]/g, "-")}`;
}
