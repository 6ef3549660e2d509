import {
  Badge,
  Button,
  createTheme,
  defaultVariantColorsResolver,
  Input,
  Menu,
  Modal,
  Paper,
  Tooltip,
  type MantineColorsTuple,
  type VariantColorsResolver,
} from "@mantine/core";

/** The lamp of a projector. */
const ember: MantineColorsTuple = [
  "#fff1ea",
  "#ffdfd1",
  "#ffbda1",
  "#ff9a6f",
  "#ff8552",
  "#ff7a45",
  "#ee6330",
  "#d44f1e",
  "#b53f14",
  "#8f300d",
];

/** The dark of a cinema: blue-black, never quite black. */
const dark: MantineColorsTuple = [
  "#eceaf0",
  "#c3c2cd",
  "#a3a3b2",
  "#74758a",
  "#42434f",
  "#31323d",
  "#22232c",
  "#121319",
  "#0d0e13",
  "#08090c",
];

/** Paper and graphite, a little warm. */
const gray: MantineColorsTuple = [
  "#faf7f2",
  "#f3eee6",
  "#e8e1d6",
  "#dad1c3",
  "#c3b8a8",
  "#958b7d",
  "#6a6259",
  "#4b453f",
  "#332f2b",
  "#1f1c1a",
];

const sans =
  "'Inter Variable', system-ui, 'PingFang SC', 'Microsoft YaHei', 'Noto Sans CJK SC', sans-serif";

/** What colours say, in both schemes: see global.css. */
const TONES: Record<string, string> = {
  ember: "var(--accent)",
  teal: "var(--good)",
  blue: "var(--note)",
  yellow: "var(--warn)",
  red: "var(--bad)",
  gray: "var(--dim)",
};

/** Soft surfaces of a tone with text of the same, which can be read in both schemes. */
const toned: VariantColorsResolver = (input) => {
  const usual = defaultVariantColorsResolver(input);
  const name = input.color ?? input.theme.primaryColor;
  const tone = TONES[name];
  // Mantine chooses the text by the shade of the light scheme alone.
  if (input.variant === "filled" && name === "ember")
    return { ...usual, color: "var(--on-accent)" };
  if (input.variant !== "light" || tone === undefined) return usual;
  const mixed = (percent: number) => `color-mix(in srgb, ${tone} ${percent}%, transparent)`;
  return { ...usual, color: tone, background: mixed(13), hover: mixed(20) };
};

export const theme = createTheme({
  colors: { ember, dark, gray },
  primaryColor: "ember",
  primaryShade: { light: 8, dark: 5 },
  black: "#1f1c1a",
  autoContrast: true,
  variantColorResolver: toned,
  luminanceThreshold: 0.34,
  fontFamily: sans,
  headings: {
    fontFamily: `'Bricolage Grotesque Variable', ${sans}`,
    fontWeight: "640",
    sizes: {
      h1: { fontSize: "1.875rem", lineHeight: "1.15" },
      h2: { fontSize: "1.25rem", lineHeight: "1.25" },
      h3: { fontSize: "1.05rem", lineHeight: "1.3" },
    },
  },
  defaultRadius: "md",
  radius: { xs: "4px", sm: "7px", md: "11px", lg: "16px", xl: "22px" },
  cursorType: "pointer",
  respectReducedMotion: true,
  focusRing: "auto",
  components: {
    Button: Button.extend({ defaultProps: { fw: 600 } }),
    Badge: Badge.extend({ defaultProps: { variant: "light", tt: "none", fw: 600 } }),
    // A menu that fades away still takes clicks: what was chosen would be done twice.
    Menu: Menu.extend({ defaultProps: { transitionProps: { duration: 0 } } }),
    Paper: Paper.extend({ defaultProps: { radius: "lg" } }),
    Tooltip: Tooltip.extend({
      defaultProps: { openDelay: 350, withArrow: true, multiline: true, maw: 320 },
    }),
    Modal: Modal.extend({ defaultProps: { radius: "lg", centered: true } }),
    ModalHeader: { defaultProps: { role: "presentation" } }, // else it would be a second banner of the page
    InputWrapper: Input.Wrapper.extend({
      defaultProps: { inputWrapperOrder: ["label", "input", "description", "error"] },
    }),
  },
});
